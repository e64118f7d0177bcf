"""The optional parts of envport: asked for when a command needs them, with the `pip install` when one is missing."""

from __future__ import annotations

import importlib
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envport_protocol.errors import EnvportError

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType, ModuleType


class MissingExtraError(EnvportError):
    """A command needs a package that comes with an extra of envport, and it is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """The imported `module`, which `pip install 'envport[extra]'` brings.

    Call it in the body of a command, before the typed import: `require("docker", "docker")`.

    Raises:
        MissingExtraError: the module, or a package that it imports, is not installed.
    """
    try:
        with signals_held():
            return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.split(".")[0].startswith("envport"):
            raise
        raise MissingExtraError(
            f"this command needs the package {missing.name!r}, which is not installed: pip install 'envport[{extra}]'"
        ) from missing


@contextmanager
def signals_held() -> Generator[None]:
    """Ctrl-C and SIGTERM act at its end, for imports of native packages: one that is broken off in the middle may lose
    the exception, and leaves half a package that fails later with an error of its own. A second signal acts at once.
    A signal that is ignored, as under nohup, stays so.

    Raises:
        KeyboardInterrupt: a signal came.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    came: list[int] = []

    def hold(number: int, _: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, hold) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(came[0])
