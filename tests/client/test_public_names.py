"""What `import envport` promises to have."""

from __future__ import annotations

from importlib import metadata

import envport


def test_the_public_names_are_these():
    assert envport.__all__ == [
        "BadRequestError",
        "BodyTooLargeError",
        "CallCancelledError",
        "CallTimeoutError",
        "ComputeRewardAnswer",
        "EnvClient",
        "EnvFailedError",
        "EnvportError",
        "ForbiddenError",
        "HeadersTooLargeError",
        "IdConflictError",
        "InfraError",
        "InvalidRequestError",
        "Manifest",
        "MediaTypeError",
        "Message",
        "MethodNotAllowedError",
        "NotAnEnvironmentError",
        "NotFoundError",
        "NotReadyError",
        "Outcome",
        "OverloadedError",
        "ProtocolError",
        "RequestTimeoutError",
        "Rollout",
        "RolloutEndedError",
        "RolloutLostError",
        "RunToolAnswer",
        "SyncEnvClient",
        "SyncRollout",
        "Task",
        "TaskPage",
        "ToolSpec",
        "TransportError",
        "UnauthorizedError",
        "UnknownRolloutError",
        "UnknownTaskError",
        "UnsupportedError",
        "VersionError",
        "WireError",
        "__version__",
        "connect",
        "connect_sync",
    ]
    assert [name for name in envport.__all__ if not hasattr(envport, name)] == []


def test_the_version_is_that_of_the_installed_package():
    assert envport.__version__ == metadata.version("envport")
