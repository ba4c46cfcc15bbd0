"""The command `cornu`."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from cornu.base import config
from cornu.base.errors import ArgumentError
from cornu.base.version import version
from cornu.drop_in import install_as_keras


def main(argv: Sequence[str] | None = None) -> int:
    """`cornu run script.py [args]` runs a Keras script on Cornu; `cornu info` shows versions and settings."""
    parser = argparse.ArgumentParser(prog="cornu", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a script in which keras and tensorflow.keras mean Cornu")
    run.add_argument("--backend", help="the backend to use")
    run.add_argument("script", help="the Python file")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="what the script gets")
    commands.add_parser("info", help="show versions, backends and settings")
    given = parser.parse_args(argv)
    return _run(given.script, given.arguments, given.backend) if given.command == "run" else _info()


def _run(script: str, arguments: list[str], backend: str | None) -> int:
    path = Path(script)
    if not path.is_file():
        print(f"cornu run: there is no file {script}", file=sys.stderr)
        return 2
    if backend:
        try:
            config.set_backend(backend)
        except ArgumentError as error:
            print(f"cornu run: {error}", file=sys.stderr)
            return 2
    install_as_keras()
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(path.resolve().parent))
    runpy.run_path(script, run_name="__main__")
    return 0


def _info() -> int:
    print(f"cornu {version()}, Python {sys.version.split()[0]}")
    for name in ("jax", "numpy", "torch", "tensorflow"):
        if importlib.util.find_spec(name):
            package = importlib.metadata.packages_distributions()[name][0]  # tensorflow comes as several
            print(f"  {name} {importlib.metadata.version(package)}")
    for point in importlib.metadata.entry_points(group="cornu.backends"):
        print(f"  {point.name} by {point.value}")
    print(f"backend {config.backend()}, floatx {config.floatx()}, image_data_format {config.image_data_format()}")
    print(f"home {config.home()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
