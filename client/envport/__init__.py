"""Talk to an environment."""
