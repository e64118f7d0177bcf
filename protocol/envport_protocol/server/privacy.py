"""What other programs of the same user can learn of a server that holds tokens."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def hide_process() -> None:
    """Keeps this process' memory and the variables that it was started with from all other processes but root's.

    Else a program that a tool starts reads the tokens in `/proc/PID/environ` of its parent: that has the variables as
    they were given, though they are unset. Debuggers and core dumps are shut out with them. What is forked inherits
    this; a program that is started does not, and has no need to. On Linux only; elsewhere nothing is done.

    Not covered: programs that run as root, as all do that a server of root's starts; the environment's own code, which
    is in this process; and whatever else has the variables, as the shell that exported them and its children.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
