"""The README's numbers come from a demo's result and from nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo_out(tmp_path: Path) -> Path:
    folder = tmp_path / "demo-out"
    folder.mkdir()
    result = {"before": 0.5, "after": 0.75, "se": 0.05, "steps": 12, "seconds": 630, "runtime": "docker"}
    (folder / "result.json").write_text(json.dumps(result), "utf-8")
    os.utime(folder / "result.json", (1_790_000_000, 1_790_000_000))
    (folder / "curve.png").write_bytes(b"picture")
    (folder / "demo.log").write_text("\x1b[32mdone\x1b[0m\nstep 1\rstep 2\r\n", "utf-8")
    return folder


def render(folder: Path, root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples/render_results.py"), str(folder), "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_block_holds_the_demos_numbers(demo_out: Path, tmp_path: Path):
    readme = tmp_path / "README.md"
    readme.write_text("above\n<!-- results:begin -->\nold\n<!-- results:end -->\nbelow\n", "utf-8")
    done = render(demo_out, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = readme.read_text("utf-8").splitlines()
    # 0.75 - 0.5 = 0.25, and 1.96 x 0.05 = 0.098 to each side; 630 s are 10.5 minutes.
    assert lines[4] == "| SmolLM2-135M on `extraction` | 0.500 | 0.750 | +0.250 | +0.152 to +0.348 |"
    assert lines[6].startswith("`make demo`: 12 steps, 10.5 minutes, environment in Docker, ")
    assert lines[6].endswith(", 2026-09-21.")
    assert (lines[0], lines[1], lines[-2], lines[-1]) == (
        "above",
        "<!-- results:begin -->",
        "<!-- results:end -->",
        "below",
    )
    assert (tmp_path / "docs/images/curve.png").read_bytes() == b"picture"


def test_the_terminal_picture_shows_the_last_state_of_a_redrawn_line(demo_out: Path, tmp_path: Path):
    (tmp_path / "README.md").write_text("<!-- results:begin --><!-- results:end -->", "utf-8")
    assert render(demo_out, tmp_path).returncode == 0
    picture = (tmp_path / "docs/images/terminal.svg").read_text("utf-8")
    assert "done" in picture
    assert "step&#160;2" in picture
    assert "step&#160;1" not in picture


def test_the_readme_has_the_block_once():
    text = (ROOT / "README.md").read_text("utf-8")
    assert (text.count("<!-- results:begin -->"), text.count("<!-- results:end -->")) == (1, 1)
