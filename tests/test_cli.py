"""The command `cornu`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cornu import cli
from cornu.base.version import version

SOURCE = str(Path(__file__).parents[1] / "src")


def cornu(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cornu.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_run_gives_the_script_its_arguments_folder_and_name(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "helper.py").write_text("import keras\nname = keras.__name__\n")
    (tmp_path / "scripts" / "main.py").write_text(
        "import sys, helper, keras\n"
        "if __name__ == '__main__':\n"
        "    print(sys.argv, helper.name, keras.backend.backend(), __file__)\n"
        "    sys.exit(7)\n"
    )
    done = cornu("run", "--backend", "numpy", "scripts/main.py", "--epochs", "3", "-v", "--backend=x", cwd=tmp_path)
    assert done.returncode == 7, done.stderr
    assert done.stdout.split() == [
        *"['scripts/main.py', '--epochs', '3', '-v', '--backend=x'] cornu numpy scripts/main.py".split()
    ]


def test_an_error_in_the_script_is_shown_as_by_python(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("import keras\nkeras.layers.Dense('many')\n")
    done = cornu("run", "wrong.py", cwd=tmp_path)
    assert done.returncode == 1
    assert 'wrong.py", line 2' in done.stderr
    assert "'many'" in done.stderr.splitlines()[-1]


def test_a_missing_script_is_said_to_be_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["run", str(tmp_path / "no.py")]) == 2
    assert f"cornu run: there is no file {tmp_path / 'no.py'}" in capsys.readouterr().err


def test_an_unknown_backend_is_said_to_be_unknown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    assert cli.main(["run", "--backend", "jaks", str(tmp_path / "a.py")]) == 2
    assert "must be one of 'jax', 'torch', 'tensorflow', 'numpy', got 'jaks'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["walk"], ["run"]])
def test_a_wrong_command_prints_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: cornu" in capsys.readouterr().err


def test_info_names_versions_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    for text in (f"cornu {version()}, Python 3.", "  jax ", "  numpy ", "floatx float32", "channels_last", "home "):
        assert text in out
