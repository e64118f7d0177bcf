"""What can go wrong in training and evaluation, each class with its cause.

    EnvportError
    └── TrainerError                 anything the trainer raises on purpose
        ├── ConfigError              the TOML file or a flag does not fit
        ├── ModelError               a model folder or hub name that cannot be used
        ├── SamplerError             the sampling engine is missing, failed or stopped
        ├── RolloutFailedError       a rollout has no reward, and was tried as often as allowed
        │   ├── PromptTooLongError   its task leaves the model no room to answer
        │   └── NotScoredError       its environment compares, and gave it no reward
        ├── NoRoomError              a group gives way to others, and begins again later
        ├── EnvironmentChangedError  another version of an environment than the run's is served at its URL
        ├── CheckpointError          a checkpoint cannot be written, read, or does not belong to this run
        ├── MetricsError             a metrics file cannot be read
        └── ModelServerError         an OpenAI-compatible server that is gone, refuses, or answers nonsense
            └── RequestRefusedError  it does not take this one request; others may go well
                └── ContextFullError the conversation is longer than what the model reads

Failures of the environment keep the client's classes.
"""

from __future__ import annotations

from envport_protocol.errors import EnvportError


class TrainerError(EnvportError):
    """Base of what the trainer raises on purpose."""


class ConfigError(TrainerError, ValueError):
    """The TOML file or a flag does not fit."""


class ModelError(TrainerError):
    """A model folder, file or hub name that cannot be used."""


class SamplerError(TrainerError):
    """The sampling engine is missing, failed, or was closed."""


class EnvironmentChangedError(TrainerError):
    """Another version of an environment is served at its URL than the one that the run began with."""


class CheckpointError(TrainerError):
    """A checkpoint cannot be written, cannot be read, or belongs to another run."""


class MetricsError(TrainerError):
    """A metrics file is not what a run writes."""


class ModelServerError(TrainerError):
    """An OpenAI-compatible server could not be reached, refused the request, or answered nonsense."""


class RolloutFailedError(TrainerError):
    """A rollout could not be scored because its environment failed; it is dropped, never scored 0."""


class PromptTooLongError(RolloutFailedError):
    """The prompt of a task has as many tokens as a whole rollout may have; other tasks may be shorter."""


class NotScoredError(RolloutFailedError):
    """The environment could not compare a rollout with its group; the group is over, so it is not begun anew."""


class NoRoomError(TrainerError):
    """The environment has no room for a whole group at the moment; the group begins again later."""


class RequestRefusedError(ModelServerError):
    """The server does not take this one request; others may go well."""


class ContextFullError(RequestRefusedError):
    """The conversation is longer than what the model reads."""
