"""What tells that a run goes wrong while it runs."""
