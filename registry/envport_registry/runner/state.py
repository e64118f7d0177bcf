"""What runs on this machine, as files: `HOME/runs/RUN_ID.json` is a run, `HOME/runs/RUN_ID/` is its folder.

The folder is made first and reserves the id; the file is written right after, whole, and again at each step of the
start. So whatever kills a start half-way, the run is listed and can be stopped.
"""

from __future__ import annotations

import re
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from envport_protocol.project import NAME_PATTERN
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from envport_registry.errors import disk_boundary
from envport_registry.runner.errors import BadRunNameError, RunExistsError, UnknownRunError

if TYPE_CHECKING:
    from collections.abc import Generator

RuntimeName = Literal["docker", "process"]

_RUN_ID = re.compile(NAME_PATTERN)


class Running(BaseModel):
    """A run that was begun and not stopped."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str
    ref: str
    """`namespace/name@version`, or the absolute path of a folder; empty where a start was killed before it said so."""
    digest: str
    """Content digest of what is served, `sha256:…`; empty as `ref`."""
    runtime: RuntimeName
    url: str
    """Empty while the start has no port yet."""
    started_at: float
    """Seconds since 1970."""
    starting: bool = False
    """It was never seen ready: its start goes on, or was killed half-way."""
    note: str = ""
    """Why this runtime, where nobody asked for it."""
    image: str | None = None
    """Docker: the image's tag."""
    container: str | None = None
    """Docker: the container's id; a start has none before it made one."""
    pid: int | None = Field(default=None, gt=1)
    """Process: its id, which is the id of its process group too."""
    pid_birth: str | None = None
    """Process: tells it from a later process with the same id."""


class RunStore:
    """The runs of one `home`."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "runs"

    def list(self) -> list[Running]:
        """All runs, the oldest first. A file that is no run's state is passed over, a folder without one is a start."""
        runs = [run for path in self._folder.glob("*.json") if (run := _read(path)) is not None]
        known = {run.run_id for run in runs}
        bare = [_bare(path) for path in self._folder.glob("*/") if _RUN_ID.fullmatch(path.name)]
        runs += [run for run in bare if run is not None and run.run_id not in known]
        return sorted(runs, key=lambda run: (run.started_at, run.run_id))

    def find(self, wanted: str) -> Running:
        """The run of this id, of this reference, or whose id alone begins so.

        Raises:
            UnknownRunError: there is none, or there are several.
        """
        runs = self.list()
        exact = [run for run in runs if run.run_id == wanted]
        by_ref = [run for run in runs if _is_ref_of(run, wanted)]
        by_prefix = [run for run in runs if wanted and run.run_id.startswith(wanted)]
        found = exact or by_ref or by_prefix
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(run.run_id for run in found)
            raise UnknownRunError(f"{wanted!r} means {len(found)} runs: {ids}; name one of them by its id")
        listed = ", ".join(f"{run.run_id} ({run.ref})" for run in runs) or "nothing"
        raise UnknownRunError(
            f"no run {wanted!r}; running here: {listed}; expected an id, the beginning of one, or a reference"
        )

    @contextmanager
    def reserved(self, run_id: str) -> Generator[Path]:
        """The new run's own folder, private to this user. It is removed again when the block fails.

        Raises:
            BadRunNameError: `run_id` does not fit the grammar.
            RunExistsError: the id is taken.
        """
        if not _RUN_ID.fullmatch(run_id):
            raise BadRunNameError(
                f"got the run name {run_id!r}, expected up to 63 of a-z, 0-9 and '-', not beginning with '-'"
            )
        folder = self.folder(run_id)
        with disk_boundary(folder, "starting a run"):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                raise RunExistsError(
                    f"a run named {run_id!r} exists: stop it by `envport stop {run_id}`, or choose another --name"
                ) from None
        try:
            yield folder
        except BaseException:
            self.remove(run_id)
            raise

    def folder(self, run_id: str) -> Path:
        """Where a run keeps its files."""
        return self._folder / run_id

    def save(self, run: Running) -> None:
        """Writes the run's state, whole or not at all."""
        part = self.folder(run.run_id) / "state.part"
        with disk_boundary(part, "saving a run's state"):
            part.write_text(run.model_dump_json(indent=2) + "\n", encoding="utf-8")
            part.replace(self._state_file(run.run_id))

    def remove(self, run_id: str) -> None:
        """Forgets the run and deletes its folder; it is no error when there is neither."""
        self._state_file(run_id).unlink(missing_ok=True)
        shutil.rmtree(self.folder(run_id), ignore_errors=True)

    def _state_file(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.json"


def new_run_id(env_name: str) -> str:
    """`extraction` -> `extraction-1f0c9a`: readable, and hardly ever taken."""
    return f"{env_name[:56]}-{secrets.token_hex(3)}"


def _read(path: Path) -> Running | None:
    try:
        return Running.model_validate_json(path.read_bytes())
    except (ValidationError, FileNotFoundError):
        return None


def _bare(folder: Path) -> Running | None:
    """The start that made `folder` and was killed before it wrote anything: it has neither container nor process."""
    try:
        started_at = folder.stat().st_mtime
    except FileNotFoundError:
        return None
    return Running(
        run_id=folder.name, ref="", digest="", runtime="process", url="", started_at=started_at, starting=True
    )


def _is_ref_of(run: Running, wanted: str) -> bool:
    """The reference as written, without its version, or another spelling of the same folder."""
    return bool(wanted) and (wanted in (run.ref, run.ref.partition("@")[0]) or str(Path(wanted).resolve()) == run.ref)
