"""What the alarms are told: the `[alarms]` table of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class AlarmSettings(BaseModel):
    """Which alarms warn, which stop the run, and from where on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
