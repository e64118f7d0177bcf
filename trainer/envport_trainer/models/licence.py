"""Which licence a base model names, so that what was trained from it can name it too."""

from __future__ import annotations

import re
from pathlib import Path

_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---", re.DOTALL)
_LICENCE = re.compile(r"^license:\s*[\"']?([A-Za-z0-9][A-Za-z0-9.+-]{0,60})[\"']?\s*$", re.MULTILINE)
_MOST_BYTES = 2**20


def licence_of(base: str) -> str | None:
    """The licence's id in the model card of `base`, a folder, GGUF file or hub name; None where none is found.

    Of a hub name only what was fetched earlier is read: nothing is asked of the network.
    """
    path = Path(base).expanduser()
    if path.exists():
        card = (path if path.is_dir() else path.parent) / "README.md"
    else:
        found = _fetched(base)
        if found is None:
            return None
        card = found
    try:
        with card.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    front = _FRONT_MATTER.match(text)
    licence = _LICENCE.search(front[1]) if front else None
    return licence[1] if licence else None


def _fetched(base: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(base, "README.md")
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None
