"""The process that serves a folder for the checks: what to serve comes as JSON on stdin, for it holds tokens."""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    """Serves the folder until it is told to stop."""
    from envport_protocol.project import load_project
    from envport_protocol.server.serving import run_server
    from envport_protocol.server.workers import run_workers

    order: dict[str, Any] = json.load(sys.stdin)
    folder, workers = order["folder"], order["config"].pop("workers", 1)
    how: dict[str, Any] = {"port": order["port"], "log_format": "json", "log_level": "debug"}
    config = load_project(folder).serve_config(**order["config"])
    if workers == 1:
        run_server(folder, config=config, **how)
    else:
        run_workers(folder, workers=workers, config=config, **how)


if __name__ == "__main__":
    main()
