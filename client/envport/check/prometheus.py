"""The numbers of a Prometheus exposition in its text format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envport.check.definition import BrokenError

if TYPE_CHECKING:
    from envport.check.wire import Reply

_SAMPLE = re.compile(r"(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)(?: \S+)?")
_LABEL = re.compile(r'(?P<name>[A-Za-z_][A-Za-z0-9_]*)="(?P<value>(?:[^"\\\n]|\\.)*)",?')
_VALUE = re.compile(r"[+-]?(?:Inf|\d+(?:\.\d+)?(?:e[+-]?\d+)?)|NaN", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples of one exposition."""

    all: tuple[tuple[str, dict[str, str], float], ...]

    def has(self, name: str) -> bool:
        """Whether there is a sample of this name."""
        return any(name == sample[0] for sample in self.all)

    def sum(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels; 0 where there is none."""
        return sum(value for found, has, value in self.all if found == name and labels.items() <= has.items())


def read_samples(reply: Reply) -> Samples:
    """The samples of an answer of `/metrics`.

    Raises:
        BrokenError: it is not in the text format.
    """
    kind = reply.headers.get("content-type", "")
    if reply.status != 200 or not kind.startswith("text/plain"):
        raise BrokenError(
            f"{reply.request} answered {reply.status} as {kind or 'no content type'}; expected text/plain"
        )
    samples: list[tuple[str, dict[str, str], float]] = []
    for line in reply.body.decode("utf-8", "replace").splitlines():
        if line and not line.startswith("#"):
            samples.append(_sample(line))
    return Samples(tuple(samples))


def _sample(line: str) -> tuple[str, dict[str, str], float]:
    found = _SAMPLE.fullmatch(line)
    labels = _LABEL.sub("", found["labels"] or "") if found else "no sample"
    if found is None or labels or not _VALUE.fullmatch(found["value"]):
        raise BrokenError(f"/metrics has the line {line[:200]!r}, which is not of the Prometheus text format")
    pairs = {label["name"]: label["value"] for label in _LABEL.finditer(found["labels"] or "")}
    return found["name"], pairs, float(found["value"])
