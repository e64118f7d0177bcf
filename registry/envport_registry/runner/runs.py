"""Start, list, read and stop runs, whichever way they run."""

from __future__ import annotations

import importlib.util
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from envport_registry.bundle import pack, verify_folder
from envport_registry.pulling import PulledEnv
from envport_registry.runner.errors import NoEngineError
from envport_registry.runner.launch import DEFAULT_BASE_IMAGE, Launch, Runtime, Status
from envport_registry.runner.ports import choose_port
from envport_registry.runner.process import ProcessRuntime
from envport_registry.runner.state import Running, RunStore, new_run_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from envport_registry.bundle import Bundle
    from envport_registry.runner.launch import OnProgress

RuntimeChoice = Literal["auto", "docker", "process"]
"""`auto` takes Docker where an engine answers, else a process."""


_ALIVE = (Status.READY, Status.NOT_READY, Status.RESTARTING)


class RunStatus(NamedTuple):
    """A run and how it is now."""

    run: Running
    status: Status


class _Chosen(NamedTuple):
    runtime: Runtime
    note: str


def _say_nothing(line: str) -> None:
    """Progress for callers that do not want it."""


def run(
    source: PulledEnv | Path,
    *,
    home: Path,
    runtime: RuntimeChoice = "auto",
    port: int = 0,
    base_image: str = DEFAULT_BASE_IMAGE,
    options: Mapping[str, Any] | None = None,
    tokens: Mapping[str, str] | None = None,
    name: str | None = None,
    ready_timeout_s: float = 120.0,
    on_progress: OnProgress = _say_nothing,
) -> Running:
    """Serves a pulled environment, or one in a folder, and returns when it is ready; it goes on until it is stopped.

    `tokens` are the server's bearer tokens by the names of their variables, such as ENVPORT_TRAINER_TOKEN; without any,
    everybody on this machine may do everything. They are written nowhere.

    What was pulled is checked against its digest once more. When this raises, nothing is left of the run; when it is
    killed, `ps` lists what it began and `stop` ends it.

    Raises:
        DigestMismatchError: what was pulled has been changed.
        NoEngineError: Docker was asked for and does not answer.
        PortTakenError, RunExistsError, BadRunNameError: `port` or `name` cannot be had.
        BaseImageError, BuildFailedError, InstallFailedError, StartFailedError: it could not be made to serve.
    """
    bundle = _verified(source)
    choose_port(port)
    chosen = _choose(runtime, home, base_image)
    store = RunStore(home)
    run_id = name if name is not None else new_run_id(bundle.config.name)
    with closing(chosen.runtime), store.reserved(run_id) as folder:
        launch = Launch(
            run_id=run_id,
            ref=str(source.ref) if isinstance(source, PulledEnv) else str(source.resolve()),
            bundle=bundle,
            port=port,
            folder=folder,
            options=options or {},
            tokens=tokens or {},
            ready_timeout_s=ready_timeout_s,
            on_made=store.save,
        )
        store.save(_begun(launch, chosen.runtime))
        running = chosen.runtime.start(launch, on_progress).model_copy(update={"note": chosen.note})
        try:
            store.save(running)
        except BaseException:
            chosen.runtime.stop(running)
            raise
    return running


def ps(home: Path) -> list[RunStatus]:
    """All runs of `home`, the oldest first, and how they are now."""
    return [RunStatus(run, _status(run, home)) for run in RunStore(home).list()]


def logs(wanted: str, *, home: Path, lines: int = 100, follow: bool = False) -> Iterator[str]:
    """The last lines of a run's log; with `follow` then each new one until it ends.

    Raises:
        UnknownRunError: no run answers to `wanted`, an id, the beginning of one, or a reference.
    """
    run = RunStore(home).find(wanted)
    return _log_lines(run, home, lines, follow=follow)


def stop(wanted: str, *, home: Path) -> Running:
    """Ends a run and forgets it: its container or process group, its state and its log.

    Raises:
        UnknownRunError: no run answers to `wanted`.
        NoEngineError: it runs in Docker, which does not answer; the run stays listed.
    """
    store = RunStore(home)
    run = store.find(wanted)
    with closing(_runtime_of(run, home)) as runtime:
        runtime.stop(run)
    store.remove(run.run_id)
    return run


def _log_lines(run: Running, home: Path, lines: int, *, follow: bool) -> Iterator[str]:
    with closing(_runtime_of(run, home)) as runtime:
        yield from runtime.log_lines(run, lines, follow=follow)


def _begun(launch: Launch, runtime: Runtime) -> Running:
    """The run before anything of it was made."""
    return Running(
        run_id=launch.run_id,
        ref=launch.ref,
        digest=launch.bundle.digest,
        runtime="process" if isinstance(runtime, ProcessRuntime) else "docker",
        url="",
        started_at=launch.started_at,
        starting=True,
    )


def _verified(source: PulledEnv | Path) -> Bundle:
    return verify_folder(source.folder, source.digest) if isinstance(source, PulledEnv) else pack(source)


def _choose(wanted: RuntimeChoice, home: Path, base_image: str) -> _Chosen:
    if wanted == "process":
        return _Chosen(ProcessRuntime(home), "")
    try:
        return _Chosen(_docker_runtime(base_image), "")
    except NoEngineError as error:
        if wanted == "docker":
            raise
        return _Chosen(ProcessRuntime(home), f"{error.reason}: running as a process, not isolated")


def _docker_runtime(base_image: str = DEFAULT_BASE_IMAGE) -> Runtime:
    if importlib.util.find_spec("docker") is None:
        raise NoEngineError("the Python package 'docker' is not installed", "pip install 'envport[docker]'")
    # The SDK takes a quarter of a second to import, and comes with an extra.
    from envport_registry.runner.docker import DockerRuntime

    return DockerRuntime(base_image)


def _runtime_of(run: Running, home: Path) -> Runtime:
    return ProcessRuntime(home) if run.runtime == "process" else _docker_runtime()


def _status(run: Running, home: Path) -> Status:
    try:
        with closing(_runtime_of(run, home)) as runtime:
            status = runtime.status(run)
            return Status.STARTING if run.starting and status in _ALIVE else status
    except NoEngineError:
        return Status.UNKNOWN
