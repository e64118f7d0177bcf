"""The wheel as a user gets it: built, installed in a clean virtual environment with its base dependencies, and used."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGES = ["envport", "envport_protocol", "envport_registry", "envport_trainer"]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=280, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def clean_venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a virtual environment that holds the wheel with its base dependencies and nothing else."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=True)
    installed = run(folder / "bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return folder


def test_the_wheel_holds_the_packages_and_the_dockerfile_and_nothing_else(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    dist_info = f"envport-{PROJECT['version']}.dist-info"
    assert {name.split("/")[0] for name in names} == {*PACKAGES, dist_info}
    assert {f"{package}/{name}" for package in PACKAGES for name in ("__init__.py", "py.typed")} <= set(names)
    assert "envport_registry/Dockerfile" in names
    assert f"{dist_info}/licenses/LICENSE" in names


def test_the_wheel_holds_every_source_file(wheel: Path):
    sources = {
        str(path.relative_to(folder))
        for folder in (ROOT / top for top in ("protocol", "client", "registry", "trainer"))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources <= set(zipfile.ZipFile(wheel).namelist())


def test_two_builds_give_the_same_bytes(wheel: Path, tmp_path: Path):
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT, cwd=tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_imports_from_a_plain_install(clean_venv: Path, package: str):
    code = f"import {package}; print({package}.__file__)"
    done = run(clean_venv / "bin/python", "-W", "error", "-c", code, cwd=clean_venv)
    assert done.stderr == ""
    assert Path(done.stdout.strip()).is_relative_to(clean_venv)


def test_a_plain_install_has_no_module_named_protocol(clean_venv: Path):
    names = ["protocol", "client", "trainer", "registry"]
    code = f"import importlib.util as u; print(*[name for name in {names} if u.find_spec(name)])"
    assert run(clean_venv / "bin/python", "-c", code, cwd=clean_venv).stdout.split() == []


def test_a_plain_install_has_the_command(clean_venv: Path):
    done = run(clean_venv / "bin/envport", "--version", cwd=clean_venv)
    assert (done.returncode, done.stdout) == (0, f"envport {PROJECT['version']}\n")
    assert run(clean_venv / "bin/envport", "--help", cwd=clean_venv).returncode == 0


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["serve", "."], "serve"),
        (["hub", "serve"], "hub"),
        (["train", "--env", "http://127.0.0.1:9", "--model", "missing", "--steps", "1"], "train"),
    ],
)
def test_a_command_without_its_extra_names_the_pip_install(clean_venv: Path, command: list[str], extra: str):
    done = run(clean_venv / "bin/envport", *command, cwd=clean_venv)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert f"pip install 'envport[{extra}]'" in done.stderr


def test_the_package_knows_its_version(clean_venv: Path):
    done = run(clean_venv / "bin/python", "-c", "import envport; print(envport.__version__)", cwd=clean_venv)
    assert done.stdout == f"{PROJECT['version']}\n"
