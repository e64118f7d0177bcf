"""The Makefile, pre-commit and CI run the same commands, and a Python that is too old is told apart at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def recipe(target: str) -> list[str]:
    """The commands of a Makefile target as written, with `$(BIN)` spelled out."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    body = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert body is not None, f"no target {target}"
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in body[1].splitlines()]


def test_pre_commit_runs_what_make_check_runs():
    config: dict[str, Any] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert [hook["entry"] for hook in hooks] == recipe("check")
    assert {(hook["language"], hook["pass_filenames"]) for hook in hooks} == {("system", False)}


def test_ci_runs_the_check_and_the_readme_test_command():
    script = (ROOT / ".ci/run").read_text("utf-8")
    assert 'stage "make check" make check\n' in script
    assert script.endswith("\nmake test\n")
    assert "make test" in (ROOT / "README.md").read_text("utf-8")


def test_ci_scripts_are_valid_bash():
    for script in sorted((ROOT / ".ci").iterdir()):
        checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, timeout=60, check=False)
        assert (checked.returncode, checked.stderr) == (0, ""), script.name


def test_make_alone_lists_every_command():
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony is not None
    assert [line.split()[1] for line in listed.stdout.splitlines()] == phony[1].split()


def test_make_clean_leaves_the_models_that_a_person_trained():
    removed = " ".join(recipe("clean")).split()
    assert "demo-out" in removed
    assert "--output runs/first" in (ROOT / "README.md").read_text("utf-8")
    assert [word for word in removed if word.startswith("runs")] == []


def test_an_engine_that_answers_is_taken_and_nothing_is_installed(tmp_path):
    tools = {"docker": "echo 27.0", "debootstrap": "", "gpgv": "", "apt-get": "touch installed", "id": "echo 0"}
    for name, code in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)
    script = (ROOT / ".ci/docker-engine.sh").read_text("utf-8").replace("/usr/share/keyrings", str(tmp_path))
    (tmp_path / "debian-archive-keyring.gpg").touch()
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "docker-engine: engine 27.0 answers\n")
    assert not (tmp_path / "installed").exists()


def make_install(python: str | Path, venv: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "install", f"PYTHON={python}", f"VENV={venv}"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ, LC_ALL="C")
    )


def test_a_python_that_is_too_old_is_named_and_nothing_is_made(tmp_path: Path):
    old = tmp_path / "python3.10"
    pretend = 'import sys; sys.version_info = (3, 10, 2); sys.version = "3.10.2 (main)"; exec(sys.argv[1])'
    old.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{pretend}' \"$2\"\n", "utf-8")
    old.chmod(0o755)
    done = make_install(old, tmp_path / "venv")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        f"envport needs Python 3.11 or later; {old} is 3.10.2. Name another: make PYTHON=/path/to/python3.12"
    )
    assert not (tmp_path / "venv").exists()


def test_a_python_that_is_not_there_is_named(tmp_path: Path):
    done = make_install("no-such-python", tmp_path / "venv")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "envport needs Python 3.11 or later, and there is no no-such-python. "
        "Install it, or name another: make PYTHON=/path/to/python3.12"
    )
    assert not (tmp_path / "venv").exists()
