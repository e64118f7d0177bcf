"""The seam to HTTP: what this client asks of a library, and what it gets back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from envport.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_ANSWER_BYTES = 64 * 2**20


class RawAnswer(NamedTuple):
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    """By names of any case."""
    content: bytes
    """Empty where it went to `on_chunk`."""


class Http(Protocol):
    """Connections to one server. Redirects are not followed, and no cookie is kept."""

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        request_id: str,
        *,
        deadline_s: float | None = None,
        on_chunk: Callable[[bytes], None] | None = None,
    ) -> RawAnswer:
        """The answer, read within `deadline_s` seconds; None waits for ever. Cancelling it closes its connection.

        The content of a 200 goes to `on_chunk`, if given, piece by piece as it comes.

        Raises:
            Retryable: no answer came, and the next try may get one.
            TransportError: no answer came, and no try will get one.
            ProtocolError: what came cannot be read, or is over `MAX_ANSWER_BYTES`.
        """
        ...

    async def close(self) -> None:
        """Closes what was opened here. Again does nothing."""
        ...


class Content:
    """The bytes of one answer, as long as they are not too many."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Takes the next bytes.

        Raises:
            ProtocolError: they are over `MAX_ANSWER_BYTES` together.
        """
        self._size += len(chunk)
        if self._size > MAX_ANSWER_BYTES:
            raise ProtocolError(
                self._url, f"the answer is over {MAX_ANSWER_BYTES} bytes, the most that this client takes"
            )
        self._chunks.append(chunk)

    def take(self) -> bytes:
        """All bytes so far; the next ones begin anew."""
        content = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        return content
