"""A task on the author's side, ground truth and all; it never leaves the server as it is."""

from __future__ import annotations

import difflib
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

    That is an EnvTask, or a mapping or object with the keys of `ROW_KEYS`. `task_id` is used where the row has none of
    its own.

    Raises:
        EnvDefinitionError: a mapping has a key that no task has, or the row is no task at all.
    """
    if isinstance(row, EnvTask):
        return row if row.task_id else replace(row, task_id=task_id)
    fields = _items(cast("Mapping[str, Any]", row)) if isinstance(row, Mapping) else _attributes(row)
    private = _private(fields)
    prompt = fields.get("prompt")
    messages: Any = fields.get("prompt_messages") or fields.get("messages")
    if isinstance(prompt, list):
        prompt, messages = None, messages or prompt
    own_id = fields.get("task_id") or fields.get("id")
    return EnvTask(
        str(own_id) if own_id is not None else task_id,
        messages=messages or (),
        prompt=None if messages else prompt,
        ground_truth=fields["ground_truth"] if "ground_truth" in fields else private.get("ground_truth"),
        metadata=fields.get("metadata") or {},
        private=private,
        init_args=fields.get("init_args") or fields.get("init_rollout_args") or {},
    )


ROW_KEYS = (
    "task_id",
    "id",
    "prompt",
    "messages",
    "prompt_messages",
    "ground_truth",
    "metadata",
    "private",
    "task",
    "init_args",
    "init_rollout_args",
)
"""What a row may have. `id`, `prompt_messages`, `task` and `init_rollout_args` are other words for the one before."""


def _items(row: Mapping[str, Any]) -> dict[str, Any]:
    unknown = next((name for name in row if name not in ROW_KEYS), None)
    if unknown is not None:
        close = difflib.get_close_matches(str(unknown), ROW_KEYS, n=1)
        near = close[0] if close else _MEANT.get(str(unknown).lower())
        meant = f"did you mean {near!r}? A row's keys" if near else "a row's keys"
        raise EnvDefinitionError(
            f"a task row has the unknown key {unknown!r}; {meant} are {', '.join(ROW_KEYS)}; what else the reward "
            "needs goes under 'private', or let dataset_preprocess turn the row into a task"
        )
    return dict(row)


_MEANT: dict[str, str] = {
    **dict.fromkeys(("answer", "solution", "label", "target", "expected", "truth"), "ground_truth"),
    **dict.fromkeys(("question", "text", "input", "problem", "instruction"), "prompt"),
}
"""The words that datasets have for a task's keys."""


def _private(fields: Mapping[str, Any]) -> dict[str, Any]:
    parts = [fields.get("task"), fields.get("private")]
    return {
        name: value
        for part in parts
        if isinstance(part, Mapping)
        for name, value in cast("Mapping[str, Any]", part).items()
    }


def _attributes(row: Any) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in ROW_KEYS if hasattr(row, name)}
    if not fields:
        raise EnvDefinitionError(
            f"a task is {type(row).__name__}; expected EnvTask, or a dict with prompt and ground_truth"
        )
    return fields
