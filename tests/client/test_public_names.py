"""What `import envport` promises to have."""

from __future__ import annotations

from importlib import metadata

import envport


def test_the_public_names_are_these():
    assert envport.__all__ == [
        "BodyTooLargeError",
        "CallTimeoutError",
        "ComputeRewardAnswer",
        "EnvClient",
        "EnvFailedError",
        "EnvportError",
        "IdConflictError",
        "InfraError",
        "InvalidRequestError",
        "Manifest",
        "Message",
        "MethodNotAllowedError",
        "NotAnEnvironmentError",
        "NotFoundError",
        "NotReadyError",
        "Outcome",
        "OverloadedError",
        "ProtocolError",
        "Rollout",
        "RolloutEndedError",
        "RunToolAnswer",
        "SyncEnvClient",
        "SyncRollout",
        "Task",
        "TaskPage",
        "ToolSpec",
        "TransportError",
        "UnknownRolloutError",
        "UnknownTaskError",
        "VersionError",
        "WireError",
        "__version__",
        "connect",
        "connect_sync",
    ]
    assert [name for name in envport.__all__ if not hasattr(envport, name)] == []


def test_the_version_is_that_of_the_installed_package():
    assert envport.__version__ == metadata.version("envport")
