"""Writes `docs/ops.md`: every public op with its signature, its first line, and who computes it.

Run: `python scripts/op_table.py`. With `--check` it only says, by its exit status, whether the page is up to date.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cornu import ops, random
from cornu.backend import Backend, load
from cornu.ops import image

PAGE = Path(__file__).resolve().parents[1] / "docs" / "ops.md"
BACKENDS = ("jax", "torch", "tensorflow", "numpy")
HEAD = """# Ops

Made by `scripts/op_table.py` from the code. A *primitive* is one call of the backend, everything else is *composed* of
such calls and written once; a backend may bring a kernel of its own for it (*native*), which the conformance suite
compares with the composition. Every op runs eagerly, compiled, and on symbolic tensors; its cases are in
`cornu.testing.conformance`.
"""


def public() -> Iterator[tuple[str, str, list[tuple[str, Callable[..., Any]]]]]:
    """Titles, prefixes and ops, by the module that they are written in."""
    modules: dict[str, list[tuple[str, Callable[..., Any]]]] = {}
    for name in ops.__all__:
        function = getattr(ops, name)
        modules.setdefault(function.__module__.rpartition(".")[2], []).append((name, function))
    for module in sorted(modules):
        yield module.replace("state", "differentiation"), "ops", modules[module]
    yield "image", "ops.image", [(name, getattr(image, name)) for name in image.__all__]
    yield "random", "random", [(n, getattr(random, n)) for n in random.__all__ if n != "SeedGenerator"]


def row(prefix: str, name: str, function: Callable[..., Any]) -> str:
    """A line of the table."""
    parameters = [p.replace(annotation=p.empty) for p in inspect.signature(function).parameters.values()]
    signature = re.sub(r"<[\w.]+ (\w+)[^>]*>", r"\1", str(inspect.Signature(parameters)))
    first = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    alias = function.__name__ != name
    kind = f"alias of `{function.__name__}`" if alias else "primitive" if is_primitive(function) else "composed"
    natives = [backend for backend in BACKENDS if function.__name__ in load(backend).native]
    if natives and not alias:
        kind += f", native on {', '.join(natives)}"
    return f"| `{prefix}.{name}{signature}` | {first} | {kind} |"


def is_primitive(function: Callable[..., Any]) -> bool:
    """Whether it is one call of the backend, by its own word or by its name."""
    named = function.__name__ in {*Backend.__annotations__, *vars(Backend)}
    return named or getattr(function, "primitive", None) is not None


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, prefix, functions in public():
        parts.append(f"\n## {title.capitalize()}\n\n| op | what it is | how |\n| --- | --- | --- |\n")
        parts += [row(prefix, name, function) + "\n" for name, function in functions]
    return "".join(parts)


def main() -> int:
    """Write the page, or compare it with `--check`."""
    if "--check" in sys.argv:
        if PAGE.read_text("utf-8") == page():
            return 0
        print(f"error: {PAGE.name} is out of date; run `python scripts/op_table.py`.", file=sys.stderr)
        return 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
