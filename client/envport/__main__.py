"""`python -m envport` is the `envport` command."""

from __future__ import annotations

from envport.cli import main

if __name__ == "__main__":
    main()
