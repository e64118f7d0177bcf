"""The main job, end to end, by the commands that a user would type.

    .venv/bin/python examples/demo.py --out demo-out

A hub is started and `extraction` published to it, found, pulled and run in a container (or as a process where there is
no Docker engine; the demo says which). SmolLM2-135M is evaluated on held-out tasks through the environment's URL,
trained through it, and evaluated again. What the run leaves in the output folder:

    result.json    before, after, se (of the gain), steps, seconds, runtime, and each component before and after
    curve.png      the reward by step
    rollouts.md    three tasks with the answers before and after
    demo.log       all that the terminal showed
    before.json, after.json, train/    every attempt, and the trained model with its metrics and checkpoints
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
ENVPORT = [sys.executable, "-m", "envport"]
HUB_READY_S = 30.0
COMMAND_LIMIT_S = 3600.0


def main() -> int:
    """Run the demo; 0 when the gain is over three standard errors and no fewer answers are right in every field."""
    arguments = _arguments()
    out: Path = arguments.out
    if out.exists() and any(out.iterdir()) and not (out / "demo.log").exists():
        print(f"error: {out} is not empty and holds no earlier demo; give another --out", file=sys.stderr)
        return 1
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with (out / "demo.log").open("w", encoding="utf-8") as log:
        shell = Shell(out, log)
        try:
            return _demo(shell, arguments)
        except CommandFailedError as error:
            shell.say(f"error: {error}")
            return 1
        except KeyboardInterrupt:
            shell.say("interrupted; what was started is stopped")
            return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Publish, pull, run, evaluate, train, evaluate again.")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for everything the demo leaves")
    parser.add_argument("--model", default=str(ROOT / "models/smollm2-135m-instruct"), help="folder or hub name")
    parser.add_argument("--runtime", default="auto", choices=["auto", "docker", "process"])
    parser.add_argument("--seed", type=int, default=0, help="of task order and sampling")
    parser.add_argument("--steps", type=int, help="weight updates, instead of those in examples/demo.toml")
    parser.add_argument("--tasks", type=int, default=128, help="held-out tasks of each evaluation")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="handed to `envport train`")
    return parser.parse_args()


def _demo(shell: Shell, arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    out: Path = arguments.out
    shell.say("1. A hub, and an environment published to it")
    with shell.hub():
        shell.run("publish", str(ROOT / "envs/extraction"))
        shell.run("search", "extraction")
        shell.run("pull", "envport/extraction")
        shell.say("2. The environment from the hub, running")
        with shell.environment("envport/extraction", arguments.runtime) as running:
            shell.say("3. The model before training, on held-out tasks")
            measure = ["--env", running.url, "--n", str(arguments.tasks), "--max-turns", "1", "--max-new-tokens", "100"]
            shell.run("eval", "--model", arguments.model, *measure, "--out", str(out / "before.json"))
            shell.say("4. Training through the URL")
            extra = ["--steps", str(arguments.steps)] if arguments.steps else []
            extra += [part for pair in arguments.set for part in ("--set", pair)]
            train = ["train", str(ROOT / "examples/demo.toml"), "--env", running.url, "--model", arguments.model]
            shell.run(*train, "--seed", str(arguments.seed), "--output", str(out / "train"), *extra)
            shell.say("5. The trained model, on the same held-out tasks")
            shell.run("eval", "--model", str(out / "train/model"), *measure, "--out", str(out / "after.json"))
    result = _result(out, running.runtime, time.monotonic() - began)
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (out / "rollouts.md").write_text(_rollouts(out), encoding="utf-8")
    shutil.copyfile(out / "train/curve.png", out / "curve.png")
    return _report(shell, result, out)


def _result(out: Path, runtime: str, seconds: float) -> dict[str, Any]:
    before, after = (json.loads((out / f"{name}.json").read_text("utf-8")) for name in ("before", "after"))
    gains = [new["reward"] - old["reward"] for old, new in _pairs(before, after)]
    lines = (out / "train/metrics.jsonl").read_text("utf-8").splitlines()
    return {
        "before": before["mean"],
        "before_ci95": before["ci95"],
        "after": after["mean"],
        "after_ci95": after["ci95"],
        "se": stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else None,
        "tasks": len(gains),
        "steps": json.loads(lines[-1])["step"],
        "seconds": round(seconds, 1),
        "runtime": runtime,
        "components": {
            name: {"before": before["rewards"][name]["mean"], "after": after["rewards"][name]["mean"]}
            for name in before["rewards"]
        },
        "step_seconds": round(fmean(values["step_s"] for line in lines if "step_s" in (values := json.loads(line))), 2),
    }


def _pairs(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The rows of tasks that were scored both times."""
    scored = {row["task_id"]: row for row in before["rows"] if row["reward"] is not None}
    return [
        (scored[row["task_id"]], row) for row in after["rows"] if row["reward"] is not None and row["task_id"] in scored
    ]


def _rollouts(out: Path) -> str:
    """Three tasks to read: where training helped most, where it hurt most, and the middle one."""
    before, after = (json.loads((out / f"{name}.json").read_text("utf-8")) for name in ("before", "after"))
    pairs = sorted(_pairs(before, after), key=lambda pair: pair[0]["reward"] - pair[1]["reward"])
    chosen = [("helped most", pairs[0]), ("in the middle", pairs[len(pairs) // 2]), ("hurt most", pairs[-1])]
    parts = ["# Three held-out tasks, before and after training\n"]
    for label, (old, new) in chosen:
        prompt, answers = (
            new["messages"][-2]["content"],
            (old["messages"][-1]["content"], new["messages"][-1]["content"]),
        )
        parts.append(f"## Training {label}: {old['reward']:.2f} to {new['reward']:.2f} (task {new['task_id']})\n")
        for title, text in zip(("Press release", "Before", "After"), (prompt, *answers), strict=True):
            parts.append(f"{title}:\n\n" + "\n".join(f"    {line}" for line in text.splitlines() or [""]) + "\n")
    return "\n".join(parts)


def _report(shell: Shell, result: dict[str, Any], out: Path) -> int:
    gain, error = result["after"] - result["before"], result["se"]
    shell.say(f"Done in {result['seconds'] / 60:.1f} minutes; the environment ran in: {result['runtime']}")
    shell.line(f"  reward on {result['tasks']} held-out tasks, with its 95 % interval")
    shell.line(f"    before  {result['before']:.3f} ± {result['before_ci95']:.3f}")
    shell.line(f"    after   {result['after']:.3f} ± {result['after_ci95']:.3f}")
    for name, score in result["components"].items():
        shell.line(f"      {name:<18} {score['before']:.3f} -> {score['after']:.3f}")
    if error is None or gain <= 3 * error:
        shell.line(f"  the gain, {gain:+.3f}, is not more than three standard errors ({error})")
        return 1
    every = result["components"]["all_fields_right"]
    if every["after"] < every["before"]:
        shell.line("  the share of tasks with every field right fell, so the gain does not count")
        return 1
    shell.line(f"  gain {gain:+.3f} ± {1.96 * error:.3f}, {gain / error:.1f} standard errors; see {out}/")
    return 0


class CommandFailedError(Exception):
    """A command of the demo ended with an error; its own message is on the terminal."""


@dataclass(frozen=True)
class RunningEnv:
    """What `envport run` answered."""

    run_id: str
    url: str
    runtime: str


class Shell:
    """Runs envport's commands, showing each as it would be typed; all of it also goes to the log."""

    def __init__(self, out: Path, log: IO[str]) -> None:
        self._log = log
        self._environ = os.environ | {
            "ENVPORT_HOME": str((out / "home").absolute()),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1)),
            "OMP_WAIT_POLICY": "PASSIVE",
            "PYTHONUNBUFFERED": "1",
        }

    def say(self, text: str) -> None:
        """A heading."""
        self.line(f"\n\x1b[1m{text}\x1b[0m")

    def line(self, text: str) -> None:
        """One line on the terminal and in the log."""
        print(text, flush=True)
        self._log.write(text + "\n")
        self._log.flush()

    def run(self, *command: str) -> str:
        """Run one command to its end, showing its output; returns what it printed to stdout.

        Raises:
            CommandFailedError: it ended with an error.
        """
        self._show(command)
        with subprocess.Popen(
            [*ENVPORT, *command], env=self._environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            lines = []
            with _killed_after(COMMAND_LIMIT_S, process):
                try:
                    for line in process.stdout:
                        self.line(line.rstrip("\n"))
                        lines.append(line)
                    code = process.wait()
                except BaseException:
                    _stop(process)
                    raise
        if code:
            raise CommandFailedError(f"`envport {' '.join(command)}` ended with exit status {code}")
        return "".join(lines)

    @contextmanager
    def hub(self) -> Iterator[None]:
        """A hub of our own on a free port, for as long as the context is open."""
        self._show(["hub", "serve"])
        with subprocess.Popen(
            [*ENVPORT, "hub", "serve", "--port", "0"], env=self._environ, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                self._environ["ENVPORT_HUB"] = self._hub_url(process)
                yield
            finally:
                _stop(process)

    def _hub_url(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        with _killed_after(HUB_READY_S, process):
            for line in process.stdout:
                self.line(line.rstrip("\n"))
                if found := re.search(r"serving at (http://\S+)", line):
                    return found[1]
        raise CommandFailedError(f"the hub did not start within {HUB_READY_S:.0f} s")

    @contextmanager
    def environment(self, ref: str, runtime: str) -> Iterator[RunningEnv]:
        """The environment, served for as long as the context is open; as a process where its image cannot be built."""
        try:
            running = self._start(ref, runtime)
        except CommandFailedError:
            if runtime != "auto":
                raise
            self.line("The container could not be made (see above): going on with --runtime process, not isolated.")
            running = self._start(ref, "process")
        try:
            yield running
        finally:
            self.run("stop", running.run_id)

    def _start(self, ref: str, runtime: str) -> RunningEnv:
        command = ["run", ref, "--runtime", runtime]
        self._show(command)
        done = subprocess.run(
            [*ENVPORT, *command, "--json"],
            env=self._environ,
            stdout=subprocess.PIPE,
            text=True,
            timeout=COMMAND_LIMIT_S,
        )
        if done.returncode:
            raise CommandFailedError(f"`envport {' '.join(command)}` ended with exit status {done.returncode}")
        answer = json.loads(done.stdout)
        running = RunningEnv(answer["run_id"], answer["url"], answer["runtime"])
        self.line(f"{running.url} ({running.runtime})")
        return running

    def _show(self, command: Sequence[str]) -> None:
        shown = " ".join(str(Path(part).relative_to(ROOT)) if part.startswith(f"{ROOT}/") else part for part in command)
        self.line(f"\x1b[32m$\x1b[0m envport {shown}")


@contextmanager
def _killed_after(seconds: float, process: subprocess.Popen[str]) -> Iterator[None]:
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _stop(process: subprocess.Popen[str]) -> None:
    """End a child. After Ctrl-C on a terminal it has the signal already; a second one would cut its ending short."""
    try:
        process.wait(0 if sys.exc_info()[0] is None else 2)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    sys.exit(main())
