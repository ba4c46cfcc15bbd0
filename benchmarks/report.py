"""The numbers of `run.py` as tables and a chart: medians and ranges over rounds, ratios round by round."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import floor
from data import TASKS

DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
TARGETS = {
    "iris": 0.1,
    "mlp": 0.5,
    "mlp_512": 0.75,
    "cifar": 0.9,
    "lstm": 0.7,
    "gru": 0.7,
    "bilstm": 0.7,
    "transformer": 0.8,
    "resnet": 0.9,
    "gpt": 0.9,
    "gan": 0.6,
    "generator": 0.8,
    "dataset": 0.8,
}
"""Of a step of Cornu on JAX to the best of Keras' three backends."""
OTHERS = {"start": 0.5, "again": 0.25, "memory": 1.0, "rows": 1.0, "one": 0.2}
"""The same of what else is measured."""
OURS, NATIVE = "cornu-jax", ("jax", "torch", "torch-compiled")

Numbers = dict[str, dict[str, list[dict[str, Any]]]]


def machine() -> dict[str, Any]:
    """What the numbers belong to."""
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    versions = {"Python": platform.python_version()}
    for name in ("cornu", "keras", "jax", "tensorflow-cpu", "torch", "flax", "optax", "lightning", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"cpu": cpu, "cores": os.cpu_count(), "versions": versions, "rates": floor.rates()}


def learns(workload: str, first: float, last: float) -> bool:
    """Whether the loss falls; the two of the GAN are in balance where their sum is three times ln 2."""
    return abs(last - 3 * math.log(2)) < 0.3 if workload == "gan" else last < first


def of(numbers: Numbers, workload: str, library: str, key: str) -> list[float]:
    """The values round by round."""
    return [row[key] for row in numbers.get(workload, {}).get(library, []) if key in row]


def shown(values: Iterable[float]) -> str:
    """Median and range."""
    values = list(values)
    if not values:
        return ""
    if len(values) == 1:
        return _number(values[0])
    return f"{_number(median(values))} ({_number(min(values))}-{_number(max(values))})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(numbers: Numbers, workload: str, key: str, others: Iterable[str], mine: str = OURS) -> float | None:
    """The median over rounds of ours divided by the best of the others, as a duration or size; less is better."""
    less: Callable[..., float] = max if key == "rows" else min
    found = []
    theirs = {name: of(numbers, workload, name, "start" if key == "again" else key) for name in others}
    for i, value in enumerate(of(numbers, workload, mine, key)):
        row = [values[i] for values in theirs.values() if len(values) > i]
        if row:
            best = less(row)
            found.append(best / value if key == "rows" else value / best)
    return median(found) if found else None


def _cell(value: float | None, target: float | None = None) -> str:
    if value is None:
        return ""
    text = f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
    return f"**{text}**" if target is not None and value > target else text


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def _libraries(numbers: Numbers, key: str) -> list[str]:
    names = dict.fromkeys(name for rows in numbers.values() for name in rows)
    return [name for name in names if any(of(numbers, workload, name, key) for workload in numbers)]


def text(kept: dict[str, Any]) -> str:
    """All tables."""
    numbers: Numbers = kept["numbers"]
    told = kept["machine"]
    tasks = [name for name in TASKS if name in numbers]
    rounds = max((len(rows) for of_one in numbers.values() for rows in of_one.values()), default=0)
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    at = told["rates"]
    parts = [
        f"{told['cpu']}, {told['cores']} cores: {at['flops'] / 1e9:.0f} GFLOP/s in a product of float32 matrices, "
        f"{list(at['bytes'].values())[-1] / 1e9:.0f} GB/s in a copy of 256 MB. {versions}. Rounds: {rounds}.\n"
    ]
    parts.append("### A training step, ms\n")
    libraries = _libraries({name: numbers[name] for name in tasks}, "step")
    rows = []
    for name in tasks:
        least = floor.milliseconds(name, at)
        ours = of(numbers, name, OURS, "step")
        target = TARGETS.get(name)
        rows.append(
            [
                f"`{name}`: {TASKS[name].about}",
                *(shown(of(numbers, name, library, "step")) for library in libraries),
                _cell(ratio(numbers, name, "step", _keras(libraries)), target),
                f"{target:g}" if target else "",
                _cell(ratio(numbers, name, "step", NATIVE), 1.05),
                f"{least:.3g}" + (f" (×{median(ours) / least:.1f})" if ours else ""),
            ]
        )
    parts.append(
        _table(["workload", *libraries, "to the best Keras", "target", "to the best by hand (1.05)", "floor"], rows)
    )
    for key, title in (
        ("start", "From the start of the process to the end of the first epoch, ms"),
        ("again", "The same in a second process, with the programs of the first"),
        ("memory", "Most memory held, MB"),
        ("rows", "`predict`, rows a second"),
        ("one", "`predict` of one row, ms"),
    ):
        mine = _libraries({name: numbers[name] for name in tasks}, key)
        if not mine:
            continue
        rows = [
            [
                f"`{name}`",
                *(shown(of(numbers, name, library, key)) for library in mine),
                _cell(ratio(numbers, name, key, _keras(_libraries(numbers, "step"))), OTHERS[key]),
            ]
            for name in tasks
        ]
        parts += [f"\n### {title}\n", _table(["workload", *mine, f"to the best Keras ({OTHERS[key]:g})"], rows)]
    others = [name for name in numbers if name not in TASKS]
    if others:
        mine = list(dict.fromkeys(library for name in others for library in numbers[name] if numbers[name][library]))
        rows = [
            [
                f"`{name}`" + ("" if key == "step" else f" {key}"),
                *(shown(of(numbers, name, one, key)) for one in mine),
                _cell(ratio(numbers, name, key, _keras(mine))),
            ]
            for name in others
            for key in dict.fromkeys(k for runs in numbers[name].values() for run in runs for k in run if k != "error")
        ]
        parts += ["\n### Besides, ms\n", _table(["what", *mine, "to the best Keras"], rows)]
    wrong = [
        f"{library} on {name}: {run['error']}" if "error" in run else f"{library} on {name}: does not learn"
        for name, of_one in numbers.items()
        for library, runs in of_one.items()
        for run in runs
        if "error" in run or ("loss" in run and not learns(name, *run["loss"]))
    ]
    return "\n".join(parts) + ("\nNot measured: " + "; ".join(dict.fromkeys(wrong)) + "\n" if wrong else "")


def _keras(libraries: Iterable[str]) -> list[str]:
    return [name for name in libraries if name.startswith("keras") and not name.endswith("bf16")]


def write(kept: dict[str, Any]) -> None:
    """Put the tables into docs/performance.md, between its marks, and draw the chart beside it."""
    page = DOCS / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(
        f"{before}{BEGIN}\n{text(kept)}\n![A step, relative to the best of Keras](performance.svg)\n\n{END}{after}"
    )
    draw(kept, DOCS / "performance.svg")


def draw(kept: dict[str, Any], path: Path) -> None:
    """A step of each library, the best of Keras being 1, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "cornu"  # the same numbers, the same file
    import matplotlib.pyplot as plt

    numbers: Numbers = kept["numbers"]
    tasks = [name for name in TASKS if of(numbers, name, OURS, "step")]
    libraries = [name for name in _libraries({name: numbers[name] for name in tasks}, "step") if "bf16" not in name]
    figure, axes = plt.subplots(figsize=(8, 0.55 * len(tasks) + 1.2), layout="constrained")
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    for i, library in enumerate(libraries):
        places = [(ratio(numbers, name, "step", _keras(libraries), library), j) for j, name in enumerate(tasks)]
        xs = [x for x, _ in places if x is not None]
        ys = [-y for x, y in places if x is not None]
        mine = library.startswith("cornu")
        axes.scatter(
            xs, ys, s=70 if mine else 32, marker="D" if mine else "o", color=colours[i], label=library, zorder=3
        )
    axes.axvline(1, color="0.6", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks([-j for j in range(len(tasks))], tasks)
    axes.set_xlabel("time of a step, the best of Keras' backends = 1 (left is faster)")
    axes.grid(axis="x", which="both", color="0.92")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
