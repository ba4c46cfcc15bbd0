"""Counts the code of `src/cornu`, package by package, and fails when a budget is exceeded.

`testing`, which ships with the package, has a budget of its own and is not in the total.

Code lines are lines with code on them: no blanks, no comments, no docstrings. Also refuses star imports.
Run: `python scripts/size.py`.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "cornu"
TOTAL = 25_000  # for the whole public API of Keras
SUITE = 3_000  # for `testing`, the conformance suite: tests that ship, and no part of that API
FILE = 900  # a longer file holds more than one idea
OPS = 6_500  # for `ops`, the contract, and the JAX and NumPy backends
BACKENDS = {"torch": 1_700, "tensorflow": 1_800}
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(text: str) -> int:
    """Number of lines with code on them."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and type(first.value.value) is str:
                lines.difference_update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def star_imports(text: str) -> list[int]:
    """Line numbers of `from … import *`."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]


def main(source: Path = SOURCE) -> int:
    """Print the table; 1 if a budget is exceeded or a star import is found, else 0."""
    packages: Counter[str] = Counter()
    backends: Counter[str] = Counter()
    files: Counter[str] = Counter()
    problems: list[str] = []
    for file in sorted(source.rglob("*.py")):
        text = file.read_text("utf-8")
        parts = file.relative_to(source).parts
        package = parts[0] if len(parts) > 1 else "(root)"
        lines = code_lines(text)
        packages[package] += lines
        if package == "backend":
            backends[parts[1]] += lines
        files[package] += 1
        if lines > FILE:
            problems.append(f"{file.relative_to(source)} has {lines} code lines; a file may have {FILE}.")
        problems += [f"{file.relative_to(source)}:{line}: star import." for line in star_imports(text)]
    total = packages.total() - packages["testing"]
    ops = packages["ops"] + packages["backend"] - sum(backends[name] for name in BACKENDS)
    if ops > OPS:
        problems.append(f"{ops} code lines in ops and backend; their budget is {OPS}.")
    for name, budget in BACKENDS.items():
        if backends[name] > budget:
            problems.append(f"{backends[name]} code lines in the backend {name}; its budget is {budget}.")
    if total > TOTAL:
        problems.append(f"{total} code lines; the budget is {TOTAL}.")
    if packages["testing"] > SUITE:
        problems.append(f"{packages['testing']} code lines in testing; its budget is {SUITE}.")
    for package, lines in packages.most_common():
        print(f"{package:16}{files[package]:5} files{lines:8} lines")
    print(f"{'total':16}{files.total() - files['testing']:5} files{total:8} lines of {TOTAL}")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
