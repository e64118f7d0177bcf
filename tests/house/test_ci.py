"""`.ci/run` on systems that differ in what their package index has."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = (Path(__file__).parents[2] / ".ci/run").read_text("utf-8")
SYSTEM = """
set -euo pipefail
id() { echo 0; }
apt-get() {
  echo "apt-get $*"
  case "$* " in *" $LACKS "*) return 100 ;; esac
}
command() {
  case $2 in
    chromium | chromium-browser | google-chrome | make) [ "$2" = "$HAS" ] ;;
    *) builtin command "$@" ;;
  esac
}
system_packages
echo "goes on, NO_CHROMIUM=${NO_CHROMIUM:-}"
"""


def ran(*, lacks: str = "none", has: str = "none") -> subprocess.CompletedProcess[str]:
    """The script's first stage on a system of root's with `has`, and without a package of the name `lacks`."""
    functions = "".join(re.findall(r"^\w+\(\) \{.*?^\}\n|^\w+\(\) \{.*\}.*\n", SCRIPT, re.MULTILINE | re.DOTALL))
    return subprocess.run(
        ["bash", "-c", f"LACKS={lacks} HAS={has}\n{functions}{SYSTEM}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_where_there_is_no_chromium_to_install_it_goes_on_and_says_so():
    done = ran(lacks="chromium")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "goes on, NO_CHROMIUM=1"), done.stderr
    assert "no chromium can be installed" in done.stderr


def test_where_there_is_one_it_is_installed():
    done = ran()
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "goes on, NO_CHROMIUM="), done.stderr
    assert "apt-get install -q -y --no-install-recommends chromium" in done.stdout


@pytest.mark.parametrize("has", ["chromium-browser", "google-chrome"])
def test_another_build_of_it_will_do(has):
    done = ran(has=has)
    assert done.returncode == 0, done.stderr
    assert "chromium" not in done.stdout.replace("NO_CHROMIUM", "")


def test_what_the_build_cannot_do_without_must_be_there():
    done = ran(lacks="make")
    assert done.returncode == 100
    assert "goes on" not in done.stdout
