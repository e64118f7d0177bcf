"""The main job by its own script, small: every station is real, only the numbers of steps and tasks are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MODEL = ROOT / "models/smollm2-135m-instruct"


@pytest.mark.model
@pytest.mark.timeout(600)
def test_the_demo_publishes_pulls_runs_evaluates_trains_and_evaluates_again(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    small = ["--steps", "1", "--tasks", "4", "--set", "prompts_per_step=2", "--set", "group_size=4"]
    done = subprocess.run(
        [sys.executable, ROOT / "examples/demo.py", "--out", out, "--model", MODEL, *small],
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
        env=os.environ | {"ENVPORT_HUB": "http://127.0.0.1:9"},
    )
    # Four tasks show no gain of three standard errors, and the demo says so by its exit status.
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    result = json.loads((out / "result.json").read_text("utf-8"))
    assert result["steps"] == 1
    assert result["tasks"] == 4
    assert result["runtime"] in ("docker", "process")
    before, after = (json.loads((out / f"{name}.json").read_text("utf-8")) for name in ("before", "after"))
    assert result["before"] == pytest.approx(sum(row["reward"] for row in before["rows"]) / 4)
    assert [row["task_id"] for row in before["rows"]] == [row["task_id"] for row in after["rows"]]
    assert before["env_digest"] == after["env_digest"]
    assert before["env_digest"].startswith("sha256:")
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "rollouts.md").read_text("utf-8").count("## Training") == 3
    log = (out / "demo.log").read_text("utf-8")
    for command in ("hub serve", "publish", "search", "pull", "run", "eval", "train", "stop"):
        assert f"envport {command}" in log
    state = subprocess.run(
        [sys.executable, "-m", "envport", "ps", "--home", out / "home", "--json"], capture_output=True, check=True
    )
    assert json.loads(state.stdout) == []
