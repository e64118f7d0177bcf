"""What this environment raises on purpose.

EnvportError
├── OptionError    an option of ExtractionEnv that it cannot work with
└── DatasetError   a row of the user's file that cannot be a task; names file and line
"""

from __future__ import annotations

from envport_protocol import EnvportError


class OptionError(EnvportError, ValueError):
    """An option that the environment cannot work with."""


class DatasetError(EnvportError, ValueError):
    """A user's file that cannot be read, or a row of it that cannot be a task."""
