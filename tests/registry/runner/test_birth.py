from __future__ import annotations

import os
import subprocess
import sys

from envport_registry.runner.birth import birth_of


def test_a_process_keeps_its_birth_and_another_has_its_own():
    assert birth_of(os.getpid()) == birth_of(os.getpid()) is not None
    assert birth_of(os.getpid()) != birth_of(1)


def test_a_process_that_ended_has_no_birth_even_before_it_is_waited_for():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert birth_of(child.pid) is not None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert birth_of(child.pid) is None
    child.stdin.close()
    child.wait()
