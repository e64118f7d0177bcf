"""A run as a whole: its checkpoints and how it goes on."""
