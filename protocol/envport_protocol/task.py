"""A task on the author's side, ground truth and all; it never leaves the server as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, cast

from pydantic import ValidationError

from envport_protocol.errors import EnvDefinitionError
from envport_protocol.messages import Message


@dataclass(frozen=True, slots=True)
class EnvTask:
    """One task. It is begun with `messages`, or with `prompt` as one user message: give exactly one of them.

    Reads like a mapping too (`task["ground_truth"]`), first what `private` holds, then the fields, then the metadata.

    Raises:
        EnvDefinitionError: both or none of prompt and messages, or a message that is none.
    """

    task_id: str = ""
    """Stable across runs. Empty: the server makes one from split and index."""
    _: KW_ONLY
    messages: Sequence[Message | Mapping[str, Any]] = ()
    """After construction always Message objects, made from `prompt` where that was given."""
    prompt: str | None = None
    ground_truth: Any = None
    """What the reward compares with. Stays on the server."""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Shown to trainers with the task; never put the answer here."""
    private: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """More that the reward needs. Stays on the server."""
    init_args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Keyword arguments for `init_rollout`. Stay on the server."""

    def __post_init__(self) -> None:
        if (self.prompt is None) == (not self.messages):
            raise EnvDefinitionError(
                f"task {self.task_id!r} has {'both' if self.messages else 'neither'} prompt and messages; "
                "give exactly one"
            )
        if self.prompt is not None:
            messages = as_messages([Message(role="user", content=self.prompt)])
        else:
            messages = as_messages(self.messages)
        object.__setattr__(self, "messages", messages)
        object.__setattr__(self, "prompt", None)

    def __getitem__(self, name: str) -> Any:
        if name in self.private:
            return self.private[name]
        if name in _FIELDS:
            return getattr(self, name)
        return self.metadata[name]

    def __contains__(self, name: str) -> bool:
        return name in self.private or name in _FIELDS or name in self.metadata

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The names that can be read by `task[name]`."""
        return list(dict.fromkeys([*self.private, *_FIELDS, *self.metadata]))

    def get(self, name: str, default: Any = None) -> Any:
        """`task[name]`, or the default where there is no such name."""
        return self[name] if name in self else default  # noqa: SIM401 - this is get


_FIELDS = ("task_id", "messages", "ground_truth", "metadata")


def as_messages(raw: Sequence[Message | Mapping[str, Any]]) -> tuple[Message, ...]:
    """Chat messages from dicts or Message objects.

    Raises:
        EnvDefinitionError: one of them is not a message.
    """
    try:
        return tuple(item if isinstance(item, Message) else Message.model_validate(item) for item in raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise EnvDefinitionError(
            f"a message's {'.'.join(map(str, first['loc'])) or 'form'} is wrong: {first['msg']}; "
            'a message is like {"role": "user", "content": "…"}'
        ) from error


def as_env_task(row: Any, task_id: str) -> EnvTask:
    """A task from what `tasks` or `dataset_preprocess` gave.

    That is an EnvTask, or a mapping or object with `prompt`, `messages` or `prompt_messages`, and with `ground_truth`,
    `task`, `init_rollout_args`, `metadata`, `task_id` or `id`.

    `task_id` is used where the row has none of its own. Other keys stay on the server, in `private`.
    """
    if isinstance(row, EnvTask):
        return row if row.task_id else replace(row, task_id=task_id)
    fields = dict(cast("Mapping[str, Any]", row)) if isinstance(row, Mapping) else _attributes(row)
    private = fields.get("task")
    rest: dict[str, Any] = dict(cast("Mapping[str, Any]", private)) if isinstance(private, Mapping) else {}
    rest |= {name: value for name, value in fields.items() if name not in _KNOWN}
    prompt = fields.get("prompt")
    messages: Any = fields.get("prompt_messages") or fields.get("messages")
    if isinstance(prompt, list):
        prompt, messages = None, messages or prompt
    own_id = fields.get("task_id") or fields.get("id")
    return EnvTask(
        str(own_id) if own_id is not None else task_id,
        messages=messages or (),
        prompt=None if messages else prompt,
        ground_truth=fields["ground_truth"] if "ground_truth" in fields else rest.get("ground_truth"),
        metadata=fields.get("metadata") or {},
        private=rest,
        init_args=fields.get("init_rollout_args") or {},
    )


_KNOWN = frozenset(
    {"task_id", "id", "prompt", "messages", "prompt_messages", "ground_truth", "metadata", "task", "init_rollout_args"}
)


def _attributes(row: Any) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in _KNOWN if hasattr(row, name)}
    if not fields:
        raise EnvDefinitionError(
            f"a task is {type(row).__name__}; expected EnvTask, or a dict with prompt and ground_truth"
        )
    return fields
