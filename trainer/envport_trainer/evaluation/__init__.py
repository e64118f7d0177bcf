"""A model on the tasks of a split: local or behind a URL, with intervals."""
