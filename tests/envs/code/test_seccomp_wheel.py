"""Where the filters come from: the environment's wheel, else libseccomp."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from envport_sandbox import seccomp_compile
from envport_sandbox.errors import UnconfinedError
from envport_sandbox.seccomp import filter_for
from envport_sandbox.seccomp_compile import compile_filter, filter_name, source_digest

FOLDER_OF_ENVIRONMENT = Path(__file__).parents[3] / "envs/code"
ARCHES = ("x86_64", "aarch64")


def test_another_machine_is_told_that_there_is_no_filter_for_it() -> None:
    with pytest.raises(UnconfinedError, match=r"no filter of system calls for riscv64; .* x86_64 and aarch64 only"):
        filter_for("riscv64", folder=False)
    with pytest.raises(ValueError, match="no policy for riscv64"):
        compile_filter("riscv64", folder=False)


def test_without_libseccomp_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(seccomp_compile, "LIBRARY", "libabsent.so.2")

    with pytest.raises(UnconfinedError, match=r"libabsent.so.2.*apt install libseccomp2.*built wheel"):
        filter_for(folder=False)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the environment's folder, to build in."""
    copy = shutil.copytree(
        FOLDER_OF_ENVIRONMENT, tmp_path / "sources", ignore=shutil.ignore_patterns("__pycache__", "dist")
    )
    (copy / "README.md").touch()
    return copy


def build(sources: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(sources.parent / "dist")]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([*command, str(sources)], capture_output=True, text=True, check=False, env=environment)


def test_the_wheel_brings_the_filters_as_compiled_here(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(sources.rglob("*"))
    built = build(sources)
    assert built.returncode == 0, built.stdout + built.stderr
    assert sorted(sources.rglob("*")) == before
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        data = {name.split(".data/data/")[1]: archive.read(name) for name in archive.namelist() if ".data/" in name}

    assert data == {
        f"share/envport-sandbox/{filter_name(arch, folder=folder)}": compile_filter(arch, folder=folder)
        for arch in ARCHES
        for folder in (False, True)
    } | {"share/envport-sandbox/policy.sha256": f"{source_digest()}\n".encode()}

    # Where it is installed, nothing is compiled.
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "installed"))
    monkeypatch.setattr(seccomp_compile, "LIBRARY", "libabsent.so.2")
    for name, content in data.items():
        (tmp_path / "installed" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "installed" / name).write_bytes(content)
    assert filter_for("x86_64", folder=True) == data["share/envport-sandbox/x86_64-folder.bpf"]
    assert filter_for(folder=False) == data[f"share/envport-sandbox/{platform.machine()}-plain.bpf"]


def test_without_libseccomp_no_wheel_is_built(sources: Path, tmp_path: Path) -> None:
    compiler = sources / "envport_sandbox/seccomp_compile.py"
    compiler.write_text(compiler.read_text().replace('"libseccomp.so.2"', '"libabsent.so.2"'))

    built = build(sources)

    assert built.returncode != 0
    assert (
        "the sandbox's filters cannot be compiled: no filter of system calls can be made" in built.stderr + built.stdout
    )
    assert "apt install libseccomp2" in built.stderr + built.stdout
    assert not list((tmp_path / "dist").glob("*.whl"))


def test_filters_of_another_policy_are_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped = tmp_path / "share/envport-sandbox"
    shipped.mkdir(parents=True)
    (shipped / "x86_64-plain.bpf").write_bytes(b"of yesterday")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))

    (shipped / "policy.sha256").write_text(source_digest())
    assert filter_for("x86_64", folder=False) == b"of yesterday"
    (shipped / "policy.sha256").write_text("0" * 64)
    assert filter_for("x86_64", folder=False) == compile_filter("x86_64", folder=False)
