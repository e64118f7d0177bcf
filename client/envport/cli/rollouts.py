"""`envport rollouts`: the rollouts of a training run, in the terminal."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envport.cli.output import JsonFlag, print_json, print_table, remark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_trainer.recording.logged_rollout import LoggedRollout
    from envport_trainer.recording.rollout_log import KeptRollouts, Place

    Numbered = tuple[int, LoggedRollout]


class Kind(StrEnum):
    """Which rollouts."""

    EVAL = "eval"
    TRAIN = "train"


def register(app: typer.Typer) -> None:
    """Add `rollouts` to the command line."""
    app.command(name="rollouts")(rollouts)


def rollouts(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Output folder of envport train.", show_default=False)],
    step: Annotated[int | None, typer.Option(min=0, help="Of which step; the last by default.")] = None,
    kind: Annotated[
        Kind | None, typer.Option(help="Held-out rollouts or training's; training's by default, where there are any.")
    ] = None,
    task: Annotated[str | None, typer.Option(metavar="ID", help="Of this task alone.")] = None,
    best: Annotated[bool, typer.Option("--best", help="Highest reward first.")] = False,
    worst: Annotated[bool, typer.Option("--worst", help="Lowest reward first.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many of them.")] = 20,
    show: Annotated[
        str | None,
        typer.Option(metavar="NUMBER_OR_ID", help="Print this rollout: its conversation, tool calls and components."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the rollouts of a training run, or print one with every tool call and the reward by component.

    Examples:

    envport rollouts runs/first --kind eval --worst

    envport rollouts runs/first --step 20 --show 3
    """
    if best and worst:
        raise typer.BadParameter("--best and --worst are opposites; give one of them")
    kept = _read(run, step, kind)
    numbered = [one for one in enumerate(kept.rollouts, start=1) if task is None or one[1].task_id == task]
    if show is not None:
        _print_one(_find(numbered, show, kept), kept, as_json)
        return
    listed = _sorted(numbered, best=best, worst=worst)[:limit]
    if as_json:
        from envport_trainer.recording.rollout_log import values_of

        values = values_of(rollout for _, rollout in listed)
        print_json([{"number": number} | value for (number, _), value in zip(listed, values, strict=True)])
        return
    _print_list(listed, kept, of=len(numbered))


def _read(run: Path, step: int | None, kind: Kind | None) -> KeptRollouts:
    """The rollouts that were asked for.

    Raises:
        TrainerError: there is no such run, or none were kept.
    """
    from envport_trainer.errors import TrainerError
    from envport_trainer.recording.rollout_log import read_file, read_rollouts, rollout_files

    if not run.is_dir():
        raise TrainerError(f"{run} is no folder; give the output folder of envport train, such as runs/train")
    places = rollout_files(run)
    if not places:
        raise TrainerError(f"{run}: no rollouts were kept; a run keeps them from its first step on")
    wanted = kind or (Kind.TRAIN if _has(places, Kind.TRAIN, step) or not _has(places, Kind.EVAL, step) else Kind.EVAL)
    if step is not None:
        return read_rollouts(run, step, wanted.value)
    last = [place for place in places if place.kind == wanted]
    return read_file(last[-1]) if last else read_rollouts(run, 0, wanted.value)


def _has(places: Sequence[Place], kind: Kind, step: int | None) -> bool:
    return any(place.kind == kind and step in (None, place.step) for place in places)


def _find(numbered: Sequence[Numbered], wanted: str, kept: KeptRollouts) -> Numbered:
    for number, rollout in numbered:
        if wanted in (str(number), rollout.rollout_id):
            return number, rollout
    from envport_trainer.errors import MetricsError

    raise MetricsError(
        f"no rollout {wanted!r} among the {len(numbered)} of step {kept.step} ({kept.kind}); "
        "envport rollouts RUN lists their numbers and, with --json, their ids"
    )


def _sorted(numbered: Sequence[Numbered], *, best: bool, worst: bool) -> list[Numbered]:
    """By reward where that was asked for, those without one last; else as they were made."""
    if not best and not worst:
        return list(numbered)
    sign = -1 if best else 1
    return sorted(numbered, key=lambda one: (one[1].reward is None, sign * (one[1].reward or 0.0)))


def _print_list(listed: Sequence[Numbered], kept: KeptRollouts, of: int) -> None:
    columns = ["number", "task", "reward", "components", "finish", "tokens", "calls", "wrong"]
    print_table(columns, [_cells(*one) for one in listed], empty="no rollout of that task")
    left_out = f"; {kept.left_out} more were not kept" if kept.left_out else ""
    remark(f"step {kept.step}, {kept.kind}: {len(listed)} of {of} rollouts{left_out}; --show NUMBER prints one")


def _cells(number: int, rollout: LoggedRollout) -> list[object]:
    reward = None if rollout.reward is None else f"{rollout.reward:.3f}"
    parts = " ".join(f"{name} {score:.2f}" for name, score in rollout.rewards.items())
    calls = [rollout.tool_calls, rollout.tool_errors]
    return [number, rollout.task_id, reward, parts or None, rollout.finish or None, rollout.sampled_tokens, *calls]


def _print_one(one: Numbered, kept: KeptRollouts, as_json: bool) -> None:
    number, rollout = one
    if as_json:
        from envport_trainer.recording.rollout_log import values_of

        print_json({"step": kept.step, "kind": kept.kind, "number": number} | values_of([rollout])[0])
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    reward = "no reward" if rollout.reward is None else f"reward {rollout.reward:.3f}"
    _say(console, f"step {kept.step}, {kept.kind}, rollout {number}, task {rollout.task_id}: {reward}", "bold")
    _say(console, " · ".join(_remarks(rollout)), "dim")
    _print_conversation(console, rollout)
    columns = ["component", "score", "weight", "share of the reward"] + (["reason"] if rollout.reasons else [])
    print_table(columns, _component_rows(rollout), empty="not scored")


def _remarks(rollout: LoggedRollout) -> list[str]:
    tokens = "tokens not known" if rollout.sampled_tokens is None else f"{rollout.sampled_tokens} tokens"
    parts = [rollout.finish or "not finished", tokens, f"{rollout.tool_calls} tool calls, {rollout.tool_errors} wrong"]
    if rollout.advantage is not None:
        parts.append(f"advantage {rollout.advantage:+.3f}")
    return [*parts, rollout.rollout_id] + ([rollout.error] if rollout.error else [])


def _print_conversation(console: Any, rollout: LoggedRollout) -> None:
    from envport_trainer.report.calls import turns_of

    for turn in turns_of(rollout.messages):
        _say(console, f"\n{turn.role}", "bold cyan")
        _say(console, turn.text)
        for call in turn.calls:
            _say(console, f"\n  call of {call.name}", "bold yellow")
            if call.arguments is not None:
                _say(console, _indented(call.arguments))
            _say(console, "  answer", "bold yellow")
            _say(console, _indented(call.answer) if call.answer is not None else "  none: the rollout ended before it")
    print()


def _component_rows(rollout: LoggedRollout) -> list[list[object]]:
    """The cells of each component; that of its reason only where one has a reason."""
    from envport_trainer.recording.visible import printable

    rows: list[list[object]] = []
    for part in rollout.components():
        score, share = (None if value is None else f"{value:.3f}" for value in (part.score, part.share))
        reason = [] if not rollout.reasons else [None if part.reason is None else printable(part.reason)]
        rows.append([part.name, score, part.weight, share, *reason])
    return rows


def _say(console: Any, text: str, style: str | None = None) -> None:
    """Text that is not trusted: nothing in it steers the terminal or is taken for markup."""
    from envport_trainer.recording.visible import visible

    console.print(visible(text), style=style)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))
