"""How much each field of an event weighs, so that guessing the usual value does not pay.

Labels are lopsided: most releases report a detention, hardly any an airstrike. With equal weights an answer that never
reads the text and always gives the usual values would do well. So a value that is rare among the labels weighs more
than a frequent one: a gold value `v` with share `p(v)` weighs `base x (1 - p(v)) / m`, where `m` is the mean of
`1 - p` over the labels, so that a field keeps its base weight on average. For a flag that is true in `p` of the
labels, "always false" and "always true" both earn half of the field, as with balanced accuracy. The factor is held
within [0.25, 3], so that no single field decides a task. A gold that holds nothing (0, false, unknown) weighs 0.3 of
that, because an answer has it right by leaving it out.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from envport_extraction.events import FIELDS, holds_nothing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envport_extraction.events import Event, Value

BASE_WEIGHTS: Final[dict[str, float]] = {
    "start_date": 2.0,
    "event_type": 2.0,
    "province": 2.0,
    "target_group": 1.5,
    "min_killed": 1.5,
    "min_captured": 1.5,
    "killq": 0.5,
    "captureq": 0.5,
    "killcaptureraid": 1.0,
    "airstrike": 1.0,
    "noshotsfired": 1.0,
    "min_leaders_killed": 0.75,
    "min_leaders_captured": 0.75,
}
"""What has to be read from the text weighs more than a yes or no; killq and captureq follow from the counts."""

_LEAST, _MOST = 0.25, 3.0
_NOTHING_TOLD: Final = 0.3
"""Factor for a gold of 0, false or unknown: leaving such a field out is right, and must not pay much."""


class Balance:
    """The weight of each field by its gold value, from the labels of the training split."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._shares: dict[str, dict[Value, float]] = {}
        self._means: dict[str, float] = {}
        labels = list(events)
        for field in FIELDS:
            counts = Counter(event.value(field) for event in labels)
            shares = {value: count / len(labels) for value, count in counts.items()}
            self._shares[field] = shares
            self._means[field] = sum(p * (1.0 - p) for p in shares.values())

    def weight(self, field: str, value: Value) -> float:
        """The weight of a field whose gold value is `value`. A field that never varies keeps its base weight."""
        mean = self._means[field]
        factor = (1.0 - self._shares[field].get(value, 0.0)) / mean if mean > 0.0 else 1.0
        told = _NOTHING_TOLD if holds_nothing(value) else 1.0
        return BASE_WEIGHTS[field] * told * min(_MOST, max(_LEAST, factor))

    def weights(self, gold: Event) -> dict[str, float]:
        """The weight of every field of one gold event; they sum to 1."""
        weights = {field: self.weight(field, gold.value(field)) for field in FIELDS}
        total = sum(weights.values())
        return {field: weight / total for field, weight in weights.items()}
