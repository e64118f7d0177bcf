"""Everything that a run tells about itself while it goes on: files for later, the terminal for now, and alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from envport_trainer.alarms.watch import Watch
from envport_trainer.recording.alarm_log import AlarmLog
from envport_trainer.recording.curve import draw_curve
from envport_trainer.recording.logged_rollout import Evaluated
from envport_trainer.recording.metrics import FILE_NAME, MetricsLog, read_metrics
from envport_trainer.recording.rollout_log import RolloutLog
from envport_trainer.recording.run_facts import run_facts, write_run_facts
from envport_trainer.recording.trackers import Trackers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from envport_protocol.messages import Manifest

    from envport_trainer.alarms.watch import Alarm
    from envport_trainer.config import TrainConfig
    from envport_trainer.evaluation.held_out import HeldOut
    from envport_trainer.recording.progress import TrainProgress
    from envport_trainer.types import Trajectory

CURVE = "curve.png"


class Records:
    """The records of one run. Use it as a context manager.

    Raises:
        TrainerError: a tracker does not come up, or the folder holds what no run writes.
    """

    def __init__(
        self, config: TrainConfig, manifests: Sequence[Manifest], device: object, progress: TrainProgress, *, step: int
    ) -> None:
        """From `step` on; what an earlier process wrote of later steps is dropped, and all where `step` is 0."""
        self._folder, self._progress = config.output, progress
        self._manifest_of = {
            env.url.rstrip("/"): manifest for env, manifest in zip(config.envs, manifests, strict=True)
        }
        resume_step = step or None
        facts = run_facts(config, manifests, device)
        trackers = Trackers(
            config.trackers,
            config.output,
            config.run_name or config.output.resolve().name,
            facts["config"],
            resume_step=resume_step,
        )
        self._metrics = MetricsLog(config.output, resume_step=resume_step, trackers=trackers)
        self._rollouts = RolloutLog(config.output, resume_step=resume_step)
        self._alarms = AlarmLog(config.output, resume_step=resume_step)
        self._lines = read_metrics(config.output / FILE_NAME)
        self._watch = Watch(config.alarms)
        write_run_facts(config.output, facts, resumed=step > 0)

    def step_done(
        self,
        step: int,
        trajectories: Sequence[Trajectory],
        advantages: Mapping[str, float],
        values: dict[str, float],
    ) -> None:
        """A step, its scored rollouts, the advantage of each that was trained on by its id, and what was measured."""
        self._metrics.write(step, values)
        self._lines.append({"step": step, **values})
        self._rollouts.write(step, "train", trajectories, advantages)
        self._progress.step_done(
            step,
            reward=values["reward"],
            rewards={k.removeprefix("rewards/"): v for k, v in values.items() if k.startswith("rewards/")},
            length=values["completion_tokens"],
            tokens_per_s=values["sampled_tokens"] / values["step_s"],
            times={"rollouts": values["rollouts_s"], "update": values.get("update_s", 0.0)},
            truncated=values["truncated_share"],
        )

    def evaluated(self, step: int, held_out: HeldOut) -> None:
        """An evaluation of the policy after `step` updates; 0 is before the first."""
        if self._lines and self._lines[-1]["step"] == step:
            self._metrics.amend(step, held_out.values)
            self._lines[-1] |= held_out.values
        else:
            self._metrics.write(step, held_out.values)
            self._lines.append({"step": step, **held_out.values})
        self._progress.held_out(step, held_out.values["eval/reward"], held_out.values["eval/reward_ci95"])
        self._rollouts.write_eval(
            step,
            [
                Evaluated(
                    env=result.env_url,
                    env_digest=result.env_digest,
                    split=result.split,
                    rows=result.rows,
                    weights={part.name: part.weight for part in self._manifest_of[result.env_url].rewards},
                )
                for result in held_out.results
            ],
        )

    def has_evaluation(self, step: int) -> bool:
        """Whether the policy after `step` updates was evaluated, by this process or an earlier one."""
        return any(line["step"] == step and "eval/reward" in line for line in self._lines)

    def look_for_alarms(self) -> Alarm | None:
        """Tell the alarms that the last step gives cause for, unless an earlier process of the run has; the first that
        stops the run is returned. Of what an earlier process told, a note says what it stopped for: a run that is
        resumed goes on."""
        found = self._watch.look(self._lines)
        for alarm in found:
            if alarm.severity == "stop" and self._alarms.has(alarm):
                self._progress.note(
                    f"step {alarm.step}: the run was to stop here for the alarm {alarm.name}, and goes on since it was "
                    f"resumed: {alarm.text}"
                )
        alarms = [alarm for alarm in found if not self._alarms.has(alarm)]
        self._alarms.write(alarms)
        for alarm in alarms:
            self._progress.alarm(f"step {alarm.step}: {alarm.name}: {alarm.text}")
        return next((alarm for alarm in alarms if alarm.severity == "stop"), None)

    def draw(self) -> None:
        """Draw the curve anew, once there is one."""
        if any("reward" in line for line in self._lines):
            draw_curve(self._folder / FILE_NAME, self._folder / CURVE)

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._metrics.close()
        finally:
            self._progress.__exit__(kind, error, trace)
