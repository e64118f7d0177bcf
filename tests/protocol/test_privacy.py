"""A server that holds tokens keeps them from the programs that its tools start."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NOBODY = 65534
SCRIPT = """
import ctypes, os, subprocess
from envport_protocol.server.privacy import hide_process

if os.geteuid() == 0:  # to whom everything is open
    os.setgroups([])
    os.setgid({nobody})
    os.setuid({nobody})
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as it is in a process that was started as this user

def seen():
    told = subprocess.run(["cat", f"/proc/{{os.getpid()}}/environ"], capture_output=True)
    return "SECRET_OF_TEST=" in told.stdout.decode()

print(seen())
hide_process()
print(seen(), len(os.listdir("/proc/self/fd")) > 0, subprocess.run(["true"]).returncode)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there is /proc on Linux only")
def test_a_program_of_the_same_user_cannot_read_what_a_hidden_process_was_started_with():
    variables = os.environ | {"SECRET_OF_TEST": "x", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(nobody=NOBODY)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=variables,
    )
    assert done.stdout.splitlines() == ["True", "False True 0"]
