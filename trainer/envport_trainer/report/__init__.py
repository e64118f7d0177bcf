"""A run told to people: one HTML file, and its rollouts."""
