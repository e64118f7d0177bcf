"""Rollouts against environments: which tasks, how one is played, what becomes of its failures."""
