"""The environment: a press release in, one JSON event out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from envport_protocol import BaseEnv, EnvTask, RewardResult, RewardSpec, ToolError, UnknownTaskError, tool

from envport_extraction.answers import MAX_ANSWER_CHARS, NotAnAnswerError, read_object
from envport_extraction.balance import Balance
from envport_extraction.dataset import load_rows, row_tasks, split_rows
from envport_extraction.errors import OptionError
from envport_extraction.events import (
    EVENT_TYPES,
    FIELDS,
    UNSCORED_FIELDS,
    Event,
    FieldError,
    contradictions,
    read_event,
    read_value,
)
from envport_extraction.gazetteer import canonical_province, nearest_provinces, province_of_district
from envport_extraction.prompt import compact_json
from envport_extraction.reasons import reasons_for
from envport_extraction.scoring import WEIGHTS, score_completion
from envport_extraction.tasks import GeneratedTasks

if TYPE_CHECKING:
    from collections.abc import Sequence

_BALANCE_SAMPLE: Final = 1000
_MAX_NAME_CHARS: Final = 100

_DESCRIPTIONS: Final = {
    "valid_json": "1 for one JSON object with a field of an event; otherwise every component is 0.",
    "fields": "Weighted share of the true fields that are right; rare values weigh more.",
    "no_invention": "That share times the share not answered wrong: leaving out costs less than a wrong value.",
    "province": "F1 of real provinces, by canonical name.",
    "counts": "Weighted share of the counts that are right and fit their flags; a near miss earns part.",
    "all_fields_right": "1 where every field is right. A figure to watch, not a reward.",
}


class ExtractionEnv(BaseEnv):
    """Press release in, one JSON event out; tasks from the generator or from a user's own file.

    Holds nothing for a rollout: every score depends on the answer and the task alone.
    """

    deterministic = True

    def __init__(
        self,
        data: str | None = None,
        *,
        train_tasks: int = 20_000,
        eval_tasks: int = 1_000,
        seed: int = 0,
        noise: float = 0.0,
        eval_share: float = 0.2,
    ) -> None:
        """Tasks by the generator, or from `data` where given.

        Args:
            data: path of a JSONL file of {"text", "event"} rows to take instead of the generator's tasks.
            train_tasks: size of the generated training split.
            eval_tasks: size of the generated evaluation split.
            seed: another seed gives other tasks.
            noise: share of generated training tasks whose gold gets a fault as hand-made labels have, 0 to 1.
            eval_share: share of the rows of `data` that is held out for evaluation, 0 to 1.

        Raises:
            OptionError: an option out of its range.
            DatasetError: `data` cannot be read.
        """
        _check_counts(train_tasks=train_tasks, eval_tasks=eval_tasks)
        _check_shares(noise=noise, eval_share=eval_share)
        self._splits: dict[str, Sequence[EnvTask]]
        if data is not None:
            rows = load_rows(Path(data))
            train, held_out = split_rows(rows, eval_share)
            self._splits = {"train": row_tasks(train), "eval": row_tasks(held_out)}
            self._balance = Balance(row.event for row in train or rows)
        else:
            generated = GeneratedTasks("train", size=train_tasks, seed=seed, noise=noise)
            self._splits = {"train": generated, "eval": GeneratedTasks("eval", size=eval_tasks, seed=seed)}
            self._balance = Balance(GeneratedTasks("train", size=_BALANCE_SAMPLE, seed=0).events(_BALANCE_SAMPLE))

    def splits(self) -> list[str]:
        """The splits that hold a task."""
        return [name for name, tasks in self._splits.items() if tasks]

    def tasks(self, split: str) -> Sequence[EnvTask]:
        """The tasks of `train` or `eval`.

        Raises:
            UnknownTaskError: no such split.
        """
        if split not in self._splits:
            raise UnknownTaskError(f"there is no split {split!r}; the splits are {', '.join(self._splits)}")
        return self._splits[split]

    def rewards(self) -> list[RewardSpec]:
        """The components; their weights sum to 1, so the reward lies between 0 and 1."""
        return [
            RewardSpec(name=n, weight=w, min=0.0, max=1.0, description=_DESCRIPTIONS[n]) for n, w in WEIGHTS.items()
        ]

    async def compute_reward(self, completion: str, ground_truth: dict[str, Any]) -> dict[str, RewardResult]:
        """The components' scores with their reasons, by name.

        Raises:
            FieldError: the ground truth is no event.
        """
        gold = read_event(ground_truth)
        reasons = reasons_for(completion, gold)
        scores = score_completion(completion, gold, self._balance)
        return {name: RewardResult(score, reason=reasons[name]) for name, score in scores.items()}

    def oracle(self, task: EnvTask) -> str:
        """An answer to the task that scores 1."""
        return compact_json(read_event(task.ground_truth))

    @tool
    async def validate_event(self, json: str) -> str:
        """Checks an event's form, not its truth: "ok" or a list of problems.

        Args:
            json: The event.
        """
        if len(json) > MAX_ANSWER_CHARS:
            raise ToolError(f"The event has {len(json)} characters; at most {MAX_ANSWER_CHARS} are read.")
        try:
            fields = read_object(json)
        except NotAnAnswerError as error:
            return f"- {error}"
        return "\n".join(f"- {problem}" for problem in event_problems(fields)) or "ok"

    @tool
    async def lookup_province(self, name: str) -> str:
        """Gives a province's canonical name, also for a district.

        Args:
            name: A province or district.
        """
        if not name.strip() or len(name) > _MAX_NAME_CHARS:
            raise ToolError(f"Give the name of one province or district, in 1 to {_MAX_NAME_CHARS} characters.")
        if found := canonical_province(name) or province_of_district(name):
            return found
        near = nearest_provinces(name)
        return f"No such province. Nearest: {', '.join(near)}." if near else "No such province."


def event_problems(fields: dict[str, Any]) -> list[str]:
    """What is wrong with an event's form, one sentence each: unknown fields, values, places, contradictions."""
    problems = [
        f"no field is called {key[:64]!r}; the fields are {', '.join(FIELDS)}"
        for key in fields
        if key not in FIELDS and key not in UNSCORED_FIELDS
    ]
    values: dict[str, Any] = {}
    for field in FIELDS:
        try:
            values[field] = read_value(field, fields.get(field))
        except FieldError as error:
            problems.append(str(error))
    problems += [
        f"event_type is {name[:64]!r}; expected one or more of {', '.join(EVENT_TYPES)}"
        for name in values.get("event_type", ())
        if name not in EVENT_TYPES
    ]
    problems += [
        f"no province is called {name[:64]!r}; lookup_province finds the right name"
        for name in values.get("province", ())
        if canonical_province(name) is None
    ]
    return problems + contradictions(Event(**values))


def _check_counts(**counts: object) -> None:
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 10_000_000:
            raise OptionError(f"{name} is {count!r}; expected a whole number from 1 to 10000000")


def _check_shares(**shares: object) -> None:
    for name, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
            raise OptionError(f"{name} is {share!r}; expected a number from 0 to 1")
