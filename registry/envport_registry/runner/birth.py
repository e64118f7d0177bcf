"""When a process was born: what tells it from a later one that got the same id."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def birth_of(pid: int) -> str | None:
    """A text that no other process of that id will ever have; None when no process of that id lives."""
    _reap(pid)
    stat = Path(f"/proc/{pid}/stat")
    return _linux_birth(stat) if Path("/proc/self/stat").exists() else _ps_birth(pid)


def _reap(pid: int) -> None:
    """A child of this very process that has ended stays listed until somebody asks how it ended."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _linux_birth(stat: Path) -> str | None:
    try:
        # The name in the second field may hold anything, the fields after its last bracket do not.
        fields = stat.read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    # Ticks from the machine's start to the process's; the boot's own id makes that unique over restarts.
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}:{fields[19]}"


def _ps_birth(pid: int) -> str | None:
    answer = subprocess.run(  # noqa: S603 (no shell, and every word is ours)
        ["ps", "-o", "lstart=", "-p", str(pid)],  # noqa: S607 (a system's own ps)
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    return answer.stdout.strip() or None
