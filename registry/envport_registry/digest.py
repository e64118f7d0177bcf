"""Content digests: `sha256:` and 64 hexadecimal digits, over a bundle's tar bytes."""

from __future__ import annotations

import hashlib
import re

from envport_registry.errors import BadNameError, DigestMismatchError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(content: bytes) -> str:
    """The digest of these bytes, `sha256:…`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def check_digest(text: str) -> str:
    """`text` itself.

    Raises:
        BadNameError: it is not `sha256:` and 64 lower-case hexadecimal digits.
    """
    if not _DIGEST.fullmatch(text):
        raise BadNameError(f"{text[:100]!r} is not a digest: expected 'sha256:' and 64 hexadecimal digits (0-9, a-f)")
    return text


def digest_hex(digest: str) -> str:
    """The 64 hexadecimal digits of a digest, for use as a file name; checked first."""
    return check_digest(digest).removeprefix("sha256:")


def compare_digests(seen: str, expected: str, what: str, remedy: str) -> None:
    """Returns where the two are equal.

    Raises:
        DigestMismatchError: they differ; the message has both and the remedy.
    """
    if seen != expected:
        raise DigestMismatchError(
            f"{what} does not match its digest: seen {seen}, expected {expected}; {remedy}",
            details={"seen": seen, "expected": expected},
        )
