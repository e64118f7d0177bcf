"""Talk to an environment: `connect` for async code, `connect_sync` for scripts and notebooks.

async with envport.connect("http://127.0.0.1:8000") as env:
    async with await env.start_rollout(split="train", index=0) as rollout:
        answer = await rollout.run_tool("lookup_province", {"name": "Kandahar"})
        reward = await rollout.compute_reward("...")
"""

from __future__ import annotations

from importlib.metadata import version

from envport_protocol.errors import (
    BadRequestError,
    BodyTooLargeError,
    CallCancelledError,
    CallTimeoutError,
    EnvFailedError,
    EnvportError,
    ForbiddenError,
    HeadersTooLargeError,
    IdConflictError,
    InfraError,
    InvalidRequestError,
    MediaTypeError,
    MethodNotAllowedError,
    NotFoundError,
    NotReadyError,
    OverloadedError,
    RequestTimeoutError,
    RolloutEndedError,
    RolloutLostError,
    UnauthorizedError,
    UnknownRolloutError,
    UnknownTaskError,
    UnsupportedError,
    WireError,
)
from envport_protocol.messages import (
    ComputeRewardAnswer,
    Manifest,
    Message,
    Outcome,
    RunToolAnswer,
    Task,
    TaskPage,
    ToolSpec,
)

from envport.client import EnvClient, connect
from envport.errors import NotAnEnvironmentError, ProtocolError, TransportError, VersionError
from envport.rollout import Rollout
from envport.sync import SyncEnvClient, SyncRollout, connect_sync

__version__ = version("envport")

__all__ = [
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
