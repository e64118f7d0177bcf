"""Whether this machine can compile what `torch.compile` writes, asked before anything long."""

from __future__ import annotations

import subprocess
import sysconfig
import tempfile
from pathlib import Path

from envport_trainer.errors import ConfigError

TIMEOUT_S = 120.0
"""It takes about a second."""
_SOURCE = """
#include <Python.h>
#include <omp.h>
#include <vector>
int probe(void) { return (int)std::vector<int>(omp_get_max_threads()).size(); }
"""
"""What the kernels need: Python's headers, OpenMP and the standard library."""


def require_cpp_compiler() -> None:
    """Compile a few lines with the compiler that torch takes: the variable `CXX` where it is set, else g++.

    Raises:
        ConfigError: there is none, or it cannot do that.
    """
    from torch._inductor import config  # what is importable only where torch can compile at all

    compiler = next(name for name in config.cpp.cxx if name)
    told = _failure(compiler)
    if told is not None:
        raise ConfigError(
            f"compile = true needs a C++ compiler with Python's headers, and {compiler} {told}; install them (Debian "
            "and Ubuntu: apt-get install g++ python3-dev), name another compiler in CXX, or set compile to false"
        )


def _failure(compiler: str) -> str | None:
    """Why `compiler` will not do; None where it will."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.cpp")
        source.write_text(_SOURCE, encoding="utf-8")
        headers = f"-I{sysconfig.get_path('include')}"
        command = [compiler, "-shared", "-fPIC", "-fopenmp", headers, str(source), "-o", f"{folder}/probe.so"]
        try:
            done = subprocess.run(  # noqa: S603 - the compiler that whoever started the run has named
                command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except OSError as error:
            return f"cannot be started ({error.strerror})"
        except subprocess.TimeoutExpired:
            return f"did not compile a few lines within {TIMEOUT_S:.0f} s"
    if done.returncode == 0:
        return None
    return f"does not compile a few lines ({_first_error(done.stderr) or f'exit status {done.returncode}'})"


def _first_error(text: str) -> str | None:
    return next((line.strip()[:200] for line in text.splitlines() if "error" in line), None)
