"""The tokens that belong to one rollout each, made from one key: nothing is stored for them.

A token is the rollout's id and its HMAC-SHA-256 under the key. So every worker of a server knows the tokens of all, a
repeated start gives the same one, and they hold across a restart as long as the key is kept.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode

_PREFIX = "rollout."
_MAC_CHARS = 43


class RolloutKey:
    """Makes and reads the tokens of rollouts."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def token(self, rollout_id: str) -> str:
        """The token of this rollout: `rollout.{MAC}.{rollout_id}`."""
        mac = hmac.digest(self._secret, rollout_id.encode(), "sha256")
        return f"{_PREFIX}{urlsafe_b64encode(mac).decode().rstrip('=')}.{rollout_id}"

    def rollout_of(self, token: str) -> str | None:
        """The rollout that a token belongs to; None where this key did not make it. Takes equal time for any MAC."""
        if not token.startswith(_PREFIX):
            return None
        rollout_id = token[len(_PREFIX) + _MAC_CHARS + 1 :]
        is_ours = hmac.compare_digest(token.encode(), self.token(rollout_id).encode())
        return rollout_id if is_ours and rollout_id else None
