"""What is kept of a run for people: metrics, progress, curves."""
