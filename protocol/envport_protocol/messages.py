"""The messages of protocol 1.1, as they stand on the wire.

Requests refuse unknown fields; answers are read tolerantly, so that a server may grow. One class per body; the HTTP
path, the client's method and the command use the same verb. The ids in requests are made by the client.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

PROTOCOL_VERSION = "1.1"

OLDEST_PROTOCOL_VERSION = "1.0"
"""The lowest that this server speaks: it stays when a minor version is added."""


def _whole(value: Any) -> Any:
    # JSON has one kind of number: 5.0 is the integer 5, in its schemas too.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Id = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]
"""A client-made id: up to 128 of the characters A-Z a-z 0-9 . _ : -"""

Place = Annotated[int, Field(ge=0, le=2**63 - 1), BeforeValidator(_whole)]
"""A number of a task, from 0."""

Score = Annotated[float, Field(allow_inf_nan=False)]
"""A finite number. NaN and the infinities are refused at the edge."""

MAX_REASON_CHARS = 2000
"""Of the reason for one score. The server takes the middle out of a longer one."""

Reason = Annotated[str, WithJsonSchema({"type": "string", "maxLength": MAX_REASON_CHARS})]
"""Plain text for people. Its length is promised, and not checked by who reads it."""

_MAX_ITEMS = 10_000
"""Of a list in a request."""


class Outcome(StrEnum):
    """How a call ended, and by that whose fault it was."""

    OK = "ok"
    TOOL_ERROR = "tool_error"
    """The model's fault: unknown tool, arguments off, or the tool said no."""
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ENV_ERROR = "env_error"
    """The environment's own code raised."""
    INFRA_ERROR = "infra_error"
    """Machine, network or server; the environment is not to blame."""
    LOST = "lost"
    """The server does not hold the rollout any more."""
    OVERLOADED = "overloaded"


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Message(_Answer):
    """One chat message, as chat templates and the OpenAI API have them. Null content is read as no text."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    name: str | None = None
    tool_calls: Annotated[list[dict[str, Any]], Field(max_length=_MAX_ITEMS)] | None = None
    tool_call_id: str | None = None

    @field_validator("content", mode="before", json_schema_input_type=str | None)
    @classmethod
    def _null_is_no_text(cls, content: Any) -> Any:
        return "" if content is None else content


Conversation = Annotated[list[Message], Field(max_length=_MAX_ITEMS)]
"""Messages in a request."""


class ToolSpec(_Answer):
    """A tool as the model sees it. `parameters` is a JSON Schema of type object."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


class RewardSpec(_Answer):
    """A named part of the reward. The reward of a rollout is the sum of weight x score over scored components."""

    name: str
    weight: Score = 1.0
    min: Score = 0.0
    max: Score = 1.0
    description: str = ""


class Split(_Answer):
    """A named set of tasks. `size` is None where the set is endless."""

    name: str
    size: int | None = None


class Limits(_Answer):
    """What the server allows. Times in seconds, sizes in bytes."""

    max_rollouts: int = 1000
    idle_timeout_s: float = 600.0
    call_timeout_s: float = 60.0
    max_body_bytes: int = 4 * 2**20
    max_batch: int = 256
    """Calls in one `batch`."""
    max_queued: int = 256
    """Starts that wait for room; one more is answered `overloaded`."""


class ProtocolRange(_Answer):
    """The protocol versions that the server speaks, both ends included."""

    min: str = OLDEST_PROTOCOL_VERSION
    max: str = PROTOCOL_VERSION


class Manifest(_Answer):
    """`GET /v1/manifest`: what this environment is, and what it can do."""

    name: str
    version: str
    summary: str = ""
    licence: str | None = None
    digest: str | None = None
    """Content digest of the published bundle, `sha256:…`; None when served from a working folder."""
    protocol: ProtocolRange = ProtocolRange()
    capabilities: list[str] = []
    tools: list[ToolSpec] = []
    rewards: list[RewardSpec] = []
    splits: list[Split] = []
    limits: Limits = Limits()


class TasksRequest(_Request):
    """The query of `GET /v1/tasks`."""

    split: str
    offset: Place = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class Task(_Answer):
    """A task as a trainer may see it: never with its ground truth."""

    task_id: str
    split: str
    index: int
    messages: list[Message]
    metadata: dict[str, Any] = {}


class TaskPage(_Answer):
    """`GET /v1/tasks?split=&offset=&limit=`. `total` is None where the split is endless."""

    tasks: list[Task]
    total: int | None
    offset: int


class StartRolloutRequest(_Request):
    """`POST /v1/start_rollout`. The task is named by `task_id`, by `split` and `index`, or given as `messages`."""

    rollout_id: Id
    task_id: str | None = None
    split: str | None = None
    index: Place | None = None
    messages: Annotated[Conversation, Field(min_length=1)] | None = None
    ground_truth: Any = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**64 - 1), BeforeValidator(_whole)] = 0

    @model_validator(mode="after")
    def _one_task(self) -> StartRolloutRequest:
        ways = [self.task_id is not None, self.split is not None or self.index is not None, self.messages is not None]
        if sum(ways) != 1 or (self.split is None) != (self.index is None):
            raise ValueError("name the task in exactly one way: task_id, or split with index, or messages")
        if self.ground_truth is not None and self.messages is None:
            raise ValueError("ground_truth goes with messages only: the server knows that of its own tasks")
        return self


class StartRolloutAnswer(_Answer):
    """The messages to begin with and the tools allowed in this rollout."""

    rollout_id: str
    task_id: str | None
    messages: list[Message]
    tools: list[ToolSpec]
    idle_timeout_s: float
    token: Annotated[str, Field(repr=False)] = ""
    """Bearer token of this rollout: it can list and run its tools, and nothing else."""
    outcome: Outcome = Outcome.OK
    trainable: bool = True


class ForkRolloutRequest(_Request):
    """`POST /v1/fork_rollout`: the state of `rollout_id` as it is now, under a new id. Answers like `start_rollout`.

    The new rollout has the old one's finished tool calls, so their ids are spent in it too; it can be scored by itself.
    """

    rollout_id: Id
    new_rollout_id: Id


class ListToolsRequest(_Request):
    """`POST /v1/list_tools`: the environment's tools, or those of one rollout."""

    rollout_id: Id | None = None


class ListToolsAnswer(_Answer):
    tools: list[ToolSpec]


class RunToolRequest(_Request):
    """`POST /v1/run_tool`. A repeat with the same `call_id` returns the stored answer; the tool runs once."""

    rollout_id: Id
    call_id: Id
    tool_name: Annotated[str, Field(max_length=256)]
    arguments: dict[str, Any] = {}
    timeout_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    """Deadline of this call, if shorter than the server's own."""


class TextContent(_Answer):
    """A block of text for the model to read."""

    type: Literal["text"] = "text"
    text: str


class RunToolAnswer(_Answer):
    """What the tool said. `tool_error` is the model's own fault and trainable."""

    content: list[TextContent]
    outcome: Outcome = Outcome.OK
    trainable: bool = True
    rewards: dict[str, Score] = {}
    """Step rewards by component, where the environment gives them."""
    done: bool = False
    """The environment says that the rollout is over."""

    @property
    def text(self) -> str:
        """The text blocks, joined by newlines."""
        return "\n".join(block.text for block in self.content)


class ComputeRewardRequest(_Request):
    """`POST /v1/compute_reward`, once per rollout. A repeat with the same arguments returns the stored answer."""

    rollout_id: Id
    completion: str | Conversation
    ground_truth: Any = None


class RewardScore(_Answer):
    """One component. `score` None means not scored: it counts neither for nor against."""

    score: Score | None
    weight: Score
    reason: Reason | None = None
    """Why the environment gave this score, for people; None where it does not say."""


class ComputeRewardAnswer(_Answer):
    """`reward` is the sum of weight x score over scored components; None when nothing was scored."""

    reward: Score | None
    rewards: dict[str, RewardScore]
    metrics: dict[str, Score] = {}
    outcome: Outcome = Outcome.OK
    trainable: bool = True


class GroupMember(_Request):
    """One rollout of a group and what the model wrote in it."""

    rollout_id: Id
    completion: str | Conversation
    ground_truth: Any = None


class ComputeGroupRewardRequest(_Request):
    """`POST /v1/compute_group_reward`: the rollouts of one group scored together, each against the others.

    A repeat with the same `group_id` and arguments returns the stored answer.
    """

    group_id: Id
    members: Annotated[list[GroupMember], Field(min_length=1, max_length=1024)]


class ComputeGroupRewardAnswer(_Answer):
    """The answers in the order of the members."""

    answers: list[ComputeRewardAnswer]
    outcome: Outcome = Outcome.OK
    trainable: bool = True


class CancelRequest(_Request):
    """`POST /v1/cancel`: stops a tool call.

    One that was not begun yet will not run when it comes; one that finished stays as it is.
    """

    rollout_id: Id
    call_id: Id


class CancelAnswer(_Answer):
    """`cancelled` is false where the call had finished before."""

    rollout_id: str
    call_id: str
    cancelled: bool


class EndRolloutRequest(_Request):
    """`POST /v1/end_rollout`: frees the rollout's state. A repeat answers the same."""

    rollout_id: Id


class EndRolloutAnswer(_Answer):
    rollout_id: str


Verb = Literal[
    "start_rollout",
    "fork_rollout",
    "list_tools",
    "run_tool",
    "compute_reward",
    "compute_group_reward",
    "cancel",
    "end_rollout",
]
"""What a `batch` may hold: every `POST` but itself."""


class BatchCall(_Request):
    """One call of a batch: what `POST /v1/{verb}` would get as its body."""

    id: Annotated[str, Field(min_length=1, max_length=128)]
    """Names its answer in this batch; nothing else."""
    verb: Verb
    body: dict[str, Any]


class BatchRequest(_Request):
    """`POST /v1/batch`. The answers come as NDJSON, one `BatchLine` for each call, in the order of their completion."""

    calls: Annotated[list[BatchCall], Field(min_length=1, max_length=1024)]


class BatchLine(_Answer):
    """The answer of one call: what the request alone would have been answered."""

    id: str
    status: int
    body: dict[str, Any]


class OpenRollout(_Answer):
    """One rollout that the server holds."""

    rollout_id: str
    task_id: str | None
    age_s: float
    idle_s: float
    calls: int
    running: int


class OpenRollouts(_Answer):
    """`GET /v1/rollouts`, for an admin: what the server holds, oldest first."""

    rollouts: list[OpenRollout]
    total: int
    queued: int


class ErrorDetail(_Answer):
    code: str
    message: str
    outcome: Outcome
    trainable: bool = False
    details: dict[str, Any] = {}


class ErrorBody(_Answer):
    """The one body of every 4xx and 5xx."""

    error: ErrorDetail
