"""What a worker is told when it starts, and how a server's capacity is shared out among its workers."""

from __future__ import annotations

import pickle
import secrets
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import SecretStr

from envport_protocol.errors import ServeError
from envport_protocol.hosting.journal_folder import journal_secret

if TYPE_CHECKING:
    from collections.abc import Generator

    from envport_protocol.config import ServeConfig
    from envport_protocol.messages import Limits
    from envport_protocol.server.logs import LogFormat, LogLevel

_SIZE = Struct(">Q")
_SHARED_OUT = ("max_queued", "max_running_calls", "max_tombstones")
"""Not the rollouts, which are counted together. Not the threads: each worker has an interpreter of its own for them to
take turns in."""
_CLOSE_S = 10.0
_MAX_PLACE_BYTES = 100
"""The path of a unix socket may have 103 to 107 bytes."""


class Pipe(Protocol):
    """What an assignment goes through, unbuffered."""

    def read(self, size: int, /) -> bytes | None: ...
    def write(self, content: bytes, /) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that a worker is told. It holds secrets, and goes through a pipe."""

    number: int
    places: tuple[Path, ...]
    """The unix sockets of all workers, by their numbers."""
    counts: Path
    """The file of `HeldCounts`."""
    env: Path
    """The environment's folder."""
    options: dict[str, Any]
    config: ServeConfig
    """With this worker's share of the capacity."""
    limits: Limits
    """Those of the whole server."""
    shutdown_timeout_s: float
    log_format: LogFormat | None
    log_level: LogLevel
    restarts: int = 0
    """How often the worker was started before."""

    @property
    def stop_timeout_s(self) -> float:
        """How long a worker may take to stop: to finish what runs, to free its rollouts, and to end."""
        return self.shutdown_timeout_s + _CLOSE_S

    def write_to(self, pipe: Pipe) -> None:
        """Hands it over.

        Raises:
            OSError: nobody reads it.
        """
        content = pickle.dumps(self)
        left = memoryview(_SIZE.pack(len(content)) + content)
        while left:
            left = left[pipe.write(bytes(left)) or 0 :]

    @classmethod
    def read_from(cls, pipe: Pipe) -> Assignment:
        """What `write_to` wrote, and no byte more.

        Raises:
            EOFError: it did not come whole.
        """
        content = _read(pipe, *_SIZE.unpack(_read(pipe, _SIZE.size)))
        assignment: Assignment = pickle.loads(content)  # noqa: S301 - it comes from the process that started this one
        return assignment


@contextmanager
def places_of(workers: int) -> Generator[tuple[Path, ...]]:
    """A path for a unix socket of each worker, in a folder private to this user, removed at the end.

    Raises:
        ServeError: the folder for temporary files has too long a name.
    """
    with tempfile.TemporaryDirectory(prefix="envport-", ignore_cleanup_errors=True) as folder:
        places = tuple(Path(folder) / f"worker-{number}.sock" for number in range(workers))
        if len(bytes(places[-1])) > _MAX_PLACE_BYTES:
            raise ServeError(
                f"{places[-1]} is too long for the name of a unix socket; set TMPDIR to a folder with a shorter one"
            )
        yield places


def shares(config: ServeConfig, workers: int) -> list[ServeConfig]:
    """The configuration of each worker: together they hold what `config` says. One key makes the tokens of all.

    Raises:
        ServeError: there are more workers than rollouts, or the key that the journal keeps cannot be read.
    """
    if not 1 <= workers <= config.max_rollouts:
        raise ServeError(
            f"{workers} workers cannot hold {config.max_rollouts} rollouts together; expected at least one worker, and "
            "a rollout for each"
        )
    shared = config.model_copy(update={"rollout_secret": SecretStr(_rollout_secret(config))})
    return [_share(shared, number, workers) for number in range(workers)]


def _share(config: ServeConfig, number: int, workers: int) -> ServeConfig:
    def part(name: str) -> int:
        whole: int = getattr(config, name)
        return whole // workers + (number < whole % workers)

    return config.model_copy(
        update={
            **{name: max(part(name), min(1, getattr(config, name))) for name in _SHARED_OUT},
            "journal": None if config.journal is None else config.journal / f"worker-{number}",
        }
    )


def _rollout_secret(config: ServeConfig) -> str:
    if config.rollout_secret is not None:
        return config.rollout_secret.get_secret_value()
    return secrets.token_hex(32) if config.journal is None else journal_secret(config.journal).hex()


def _read(pipe: Pipe, size: int) -> bytes:
    content = b""
    while len(content) < size:
        more = pipe.read(size - len(content))
        if not more:
            raise EOFError(f"{size} bytes were expected, {len(content)} came")
        content += more
    return content
