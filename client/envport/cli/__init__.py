"""The `envport` command."""
