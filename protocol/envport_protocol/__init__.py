"""The wire protocol, BaseEnv and the server that hosts one."""

from envport_protocol.env import BaseEnv
from envport_protocol.errors import EnvportError, ToolError, UnknownTaskError, WireError
from envport_protocol.messages import PROTOCOL_VERSION, Message, Outcome, RewardSpec, ToolSpec
from envport_protocol.project import ProjectConfig, load_env, load_project
from envport_protocol.results import RewardResult, ToolResult
from envport_protocol.rewards import reward
from envport_protocol.task import EnvTask
from envport_protocol.tools import tool

__all__ = [
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
