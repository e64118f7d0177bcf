"""What `envport_protocol` offers, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import envport_protocol


def test_the_public_names_are_these():
    assert envport_protocol.__all__ == [
        "PROTOCOL_VERSION",
        "BaseEnv",
        "EnvTask",
        "EnvportError",
        "Message",
        "Outcome",
        "ProjectConfig",
        "RewardResult",
        "RewardSpec",
        "ToolError",
        "ToolResult",
        "ToolSpec",
        "UnknownTaskError",
        "WireError",
        "load_env",
        "load_project",
        "reward",
        "tool",
    ]
    assert all(hasattr(envport_protocol, name) for name in envport_protocol.__all__)


def test_an_author_needs_no_server_to_import_it():
    code = (
        "import sys, envport_protocol; "
        "print(sorted({'fastapi', 'starlette', 'uvicorn', 'orjson', 'httpx', 'aiohttp', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
