"""Press release in, one JSON event out: an environment for envport."""

from __future__ import annotations

from envport_extraction.environment import ExtractionEnv

__all__ = ["ExtractionEnv"]
