"""What an environment noted beside what its client was told: whether each call ran exactly once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ledger_env import Entry


@dataclass
class Heard:
    """What a client was told."""

    values: dict[tuple[str, str], str] = field(default_factory=dict)
    """The value of each side effect, by rollout and what was done."""
    may_have_run: set[tuple[str, str]] = field(default_factory=set)
    """Calls that failed or were cancelled as they should: no value, and at most one run."""
    lost_answers: list[str] = field(default_factory=list)
    ids_not_spent: list[str] = field(default_factory=list)


class Verdict(NamedTuple):
    """Breaches by kind, with some examples of each. The promise holds where all counts are zero."""

    counts: dict[str, int]
    examples: list[str]

    @property
    def holds(self) -> bool:
        """Whether there is no breach."""
        return not any(self.counts.values())


def judge(entries: list[Entry], heard: Heard) -> Verdict:
    """Compares what happened with what was heard."""
    times = Counter((entry.rollout_id, entry.what) for entry in entries)
    noted = {(entry.rollout_id, entry.what): entry.value for entry in entries}
    told = heard.values.keys() | heard.may_have_run
    started = [rollout_id for rollout_id, what in times if what == "start"]
    breaches = {
        "double_executions": [f"ran {count} times: {key}" for key, count in times.items() if count > 1],
        "lost_answers": [
            *heard.lost_answers,
            *(f"ran, and nobody heard of it: {key}" for key in noted if key not in told and key[1] != "end"),
        ],
        "wrong_answers": [
            f"{key} was answered {value!r}, but the side effect was {noted.get(key)!r}"
            for key, value in heard.values.items()
            if noted.get(key) != value
        ],
        "ids_not_spent": heard.ids_not_spent,
        "calls_left_running": [f"{key}" for key in times if key[1] == "hang" and not times[key[0], "hang-stopped"]],
        "rollouts_left_open": [one for one in started if times[one, "start"] > times[one, "end"]],
    }
    examples = [f"{name}: {one}" for name, found in breaches.items() for one in found[:3]]
    return Verdict({name: len(found) for name, found in breaches.items()}, examples)
