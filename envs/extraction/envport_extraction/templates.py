"""The styles a release is written in: how it opens, and how its lead sentence puts the clauses together.

A lead always holds the deed, the operation, the place and the day, so that the record can be read from it. Training
takes from TRAIN_TEMPLATES only, evaluation from EVAL_TEMPLATES only.

Slots of a lead: {force} {did} {done} {outcome} {op} {place} {when}; with a capital first letter {Force} {Done} {Op}
{Place} {When} {outcome_first}. Slots of an opening: {dateline} (`KABUL (Jan. 27, 2012)`), {day} (`Jan. 27, 2012`),
{day_of_month} (`27 January 2012`), {serial} (`2012-01-S-031`), {region} (`East`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Template:
    """One style."""

    template_id: str
    opening: str
    """Everything before the lead sentence."""
    lead: str
    """The sentence or sentences that tell the record."""


TRAIN_TEMPLATES: Final = (
    Template("wire", "{dateline} - ", "{Force} {did} during {op} {place} {when}."),
    Template("serial", "{serial}\n\n{dateline}\n", "{Force} {did} during {op} {place}, {when}."),
    Template("place-first", "{dateline}\n", "{Place}, {force} {did} during {op} {when}."),
    Template("passive", "{serial}\nFor Immediate Release\n\n{dateline}\n", "{Done} during {op} {place} {when}."),
    Template("day-first", "{dateline} - ", "{When}, {force} {did} during {op} {place}."),
    Template("during", "{serial}\n\n{dateline} - ", "During {op} {place} {when}, {force} {did}."),
    Template("morning-update", "Morning Operational Update, {day}\n", "{Force} {did} {when} {place} during {op}."),
    Template("evening-update", "Evening Operational Update\n{dateline} - ", "{Place} {when}, {done} during {op}."),
    Template("result", "{dateline}\n", "{Op} {place} resulted in {outcome} {when}."),
    Template("confirmed", "{dateline} - ", "Officials confirmed that {force} {did} {place} {when} during {op}."),
    Template("also", "Operations in the {region}\n{dateline}\n", "Also {place}, {done} {when} during {op}."),
    Template("ministry", "Ministry of Interior, {day}\n", "{Force}, during {op} {place}, {did} {when}."),
    Template(
        "two-step", "{serial}\n{dateline} - ", "{Force} carried out {op} {place} {when}. The result was {outcome}."
    ),
    Template("brief", "NEWS BRIEF {day}\n", "{When} {place}: {force} {did} during {op}."),
    Template("statement", "Statement, {day_of_month}\n", "{Place}, {op} {when} ended with {outcome}."),
    Template("region-title", "RC-{region}, {day}\n", "{Done} {place} {when}, during {op}."),
    Template("spokesman", "{dateline} - ", '"{Force} {did}," a spokesman said of {op} {place} {when}.'),
    Template("led-to", "{serial}\n\n{dateline}\n", "{Op} led to {outcome} {place} {when}."),
    Template("finally", "{dateline}\n", "Finally, during {op} {place}, {force} {did} {when}."),
    Template("correction", "UPDATE, {day}\n", "It is now confirmed that {done} {place} {when} during {op}."),
)
EVAL_TEMPLATES: Final = (
    Template("note", "For the record, {day}\n", "{When}, during {op}, {force} {did} {place}."),
    Template("press-office", "Press office, {day_of_month} - ", "{Force} {did} {when} during {op} {place}."),
    Template("at-work", "{dateline}: ", "{Force} had begun {op} {place} {when} and {did}."),
    Template("reported", "{serial}\n{dateline} - ", "{Done} {when} during {op} {place}, officials reported."),
    Template("headline", "Operations update: RC-{region}\n{dateline}\n", "{When} {place}, {done} during {op}."),
    Template("saw", "{dateline} - ", "{Op} {when} saw {outcome} {place}."),
    Template("summary", "Summary for {day}: ", "{outcome_first}, {place}, {when}, during {op}."),
    Template("colon", "{serial} / {day}\n", "{Place}, {when}: {done} during {op}."),
    Template("said-today", "{dateline}\n", "{Force} {did} {place}, the command said. It happened {when}, during {op}."),
)
TEMPLATES: Final = (*TRAIN_TEMPLATES, *EVAL_TEMPLATES)
