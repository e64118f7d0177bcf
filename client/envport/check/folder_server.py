"""The process that serves a folder for the checks: what to serve comes as JSON on stdin, for it holds tokens."""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    """Serves the folder until it is told to stop."""
    from envport_protocol.project import load_project
    from envport_protocol.server.serving import run_server

    order: dict[str, Any] = json.load(sys.stdin)
    changes: dict[str, Any] = order["config"]
    run_server(order["folder"], port=order["port"], config=load_project(order["folder"]).serve_config(**changes))


if __name__ == "__main__":
    main()
