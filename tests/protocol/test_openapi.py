"""openapi.json and the server say the same: schemathesis makes requests of the one and judges the answers by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from envport_protocol.config import ServeConfig

from .counting import Counting

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_schemathesis_finds_nothing_in_a_live_server(serve_env: Callable[..., str], tmp_path: Path):
    url = serve_env(Counting(), ServeConfig(name="counting", max_rollouts=100_000))
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(CONFIG), "run", f"{url}/openapi.json"]
    found = subprocess.run(
        [*command, "--max-examples", "20", "--seed", "1", "--generation-database", ":memory:"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-6000:]
    assert "No issues found" in found.stdout
    assert "16 selected / 16 total" in found.stdout
