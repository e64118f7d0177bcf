"""The tests are the same whatever the shell exports for envport."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXPORTED = {"ENVPORT_TRAINER_TOKEN": "t" * 32, "ENVPORT_HUB": "http://127.0.0.1:9", "ENVPORT_HOME": "/home/of/mine"}
ROOT = Path(__file__).parents[2]


def test_no_variable_of_the_shell_is_seen():
    seen = {name: value for name, value in os.environ.items() if name.startswith("ENVPORT_")}
    assert seen.pop("ENVPORT_HOME") != EXPORTED["ENVPORT_HOME"]
    assert seen.keys() <= {"ENVPORT_BASE_IMAGE", "ENVPORT_TEST_MODEL"}


def test_what_is_exported_is_taken_out():
    test = f"{__file__}::{test_no_variable_of_the_shell_is_seen.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        cwd=ROOT,
        env=os.environ | EXPORTED,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout
