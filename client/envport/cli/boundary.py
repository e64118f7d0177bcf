"""Where the command line ends: every foreseen failure becomes one line on stderr and an exit code, no traceback.

    0    done
    1    an error that was foreseen; stderr says what was seen, what was expected and what to do
    2    the command line itself is wrong (typer says how)
    130  interrupted by Ctrl-C or SIGTERM

Anything else is a bug of this project and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from envport_protocol.errors import EnvportError

from envport.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED = 1
INTERRUPTED = 130


def exit_code_of(command: Callable[[], object]) -> int:
    """The exit code of `command`, after its error, if any, was told on stderr."""
    try:
        _run(command)
        sys.stdout.flush()
    except SystemExit as leaving:
        return _told(leaving)
    except KeyboardInterrupt:
        return _interrupted()
    except EnvportError as error:
        return _failed(str(error))
    except BrokenPipeError:
        return _reader_gone()
    except OSError as error:
        return _failed(_os_error_text(error))
    return 0


def _run(command: Callable[[], object]) -> None:
    try:
        command()
    except SystemExit:
        sys.stdout.flush()
        raise


def _told(leaving: SystemExit) -> int:
    if leaving.code == INTERRUPTED:
        return _interrupted()
    if leaving.code is None:
        return 0
    return leaving.code if isinstance(leaving.code, int) else _failed(str(leaving.code))


def _interrupted() -> int:
    print("interrupted", file=sys.stderr)
    return INTERRUPTED


def _failed(text: str) -> int:
    line = " ".join(part for part in map(printable, text.splitlines()) if part)
    print(f"error: {line}", file=sys.stderr)
    return FAILED


def _reader_gone() -> int:
    # The reader of our output left (`envport ps | head -1`). Python flushes stdout once more at exit: give it a sink.
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
    return FAILED


def _os_error_text(error: OSError) -> str:
    where = f": {error.filename}" if error.filename is not None else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk{where}; free some space and run the same command again"
    return f"{error.strerror or error}{where}"
