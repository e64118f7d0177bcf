"""Rollouts to weights: GRPO over any environment URL."""
