"""A model behind an OpenAI-compatible server: chat completions with tools, retried and bounded.

What the server says is not trusted: answers over the size limit are refused, and its texts are cut in messages. The
key goes into one header and nowhere else; a user, a password and a query in the URL go to the server alone.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import httpx
from envport.bearer import checked_token
from envport.handshake import without_secrets
from pydantic import BaseModel, ValidationError

from envport_trainer.conversation.chat import MAX_CALLS
from envport_trainer.errors import ContextFullError, ModelServerError, RequestRefusedError
from envport_trainer.url_secrets import Scrubber, keep_out_of_logs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from envport_protocol.messages import ToolSpec

_MAX_ANSWER_BYTES = 16 * 2**20
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_PAUSE_S = 20.0
_OVERFLOW_WORDS = ("context_length_exceeded", "maximum context length", "context window", "max_model_len")


class _Function(BaseModel):
    name: str = ""
    arguments: str = ""


class _Call(BaseModel):
    id: str = ""
    function: _Function = _Function()


class _Message(BaseModel):
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    completion_tokens: int | None = None


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None


@dataclass(frozen=True, slots=True)
class WantedCall:
    """A tool call as the model wrote it; `arguments` is text that should be a JSON object."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One turn of the model."""

    content: str
    calls: list[WantedCall]
    truncated: bool
    """True where the token limit cut it off."""
    tokens: int | None
    """Tokens written, where the server tells."""

    def as_message(self) -> dict[str, Any]:
        """The assistant message to send back in the next turn."""
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.calls:
            message["tool_calls"] = [
                {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.calls
            ]
        return message


class OpenAiModel:
    """The model `name` at `url` (with or without `/v1`); without a name, the only one that the server lists.

    Use it as an async context manager. One call may take `timeout_s`; a busy server or a lost connection is tried
    again for `retry_for_s`.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        key: str | None = None,
        timeout_s: float = 300.0,
        retry_for_s: float = 60.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._address = _api_root(url)
        self.url = str(self._address.copy_with(username=None, password=None, query=None))
        """Where the API is, for people: without user, password and query."""
        self.name = name or ""
        self._headers = {"authorization": f"Bearer {checked_token(key)}"} if key else {}
        self._scrubbed = Scrubber(self._address, [key] if key else [])
        keep_out_of_logs()
        self._timeout_s = timeout_s
        self._retry_for_s = retry_for_s
        self._limit_name = "max_tokens"
        # A proxy from the surroundings is for the world outside, not for a server on this machine.
        is_here = self._address.host in ("127.0.0.1", "localhost", "::1")
        self._http = http or httpx.AsyncClient(timeout=None, trust_env=not is_here)  # noqa: S113 - _send has a deadline

    async def __aenter__(self) -> Self:
        try:
            if not self.name:
                self.name = await self._only_model()
        except BaseException:
            await self._http.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[ToolSpec],
        *,
        max_new_tokens: int,
        temperature: float,
        seed: int,
    ) -> Reply:
        """The model's next turn.

        Raises:
            ContextFullError: the conversation is too long for the model.
            RequestRefusedError: the server does not take this request.
            ModelServerError: the server could not be reached, refuses everything, or answered nonsense.
        """
        body: dict[str, Any] = {
            "model": self.name,
            "messages": list(messages),
            "temperature": temperature,
            "seed": seed,
        }
        if tools:
            body["tools"] = [{"type": "function", "function": tool.model_dump()} for tool in tools]
        try:
            answer = await self._send("POST", "/chat/completions", body | {self._limit_name: max_new_tokens})
        except RequestRefusedError as error:
            if self._limit_name != "max_tokens" or "max_completion_tokens" not in str(error):
                raise
            self._limit_name = "max_completion_tokens"  # OpenAI's newer models know the limit by this name alone
            answer = await self._send("POST", "/chat/completions", body | {self._limit_name: max_new_tokens})
        return self._reply(answer)

    def _reply(self, answer: object) -> Reply:
        try:
            completion = _Completion.model_validate(answer)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ModelServerError(f"{self.url} answered no chat completion: {place}: {first['msg']}") from error
        if not completion.choices:
            raise ModelServerError(f"{self.url} answered a chat completion without choices")
        choice = completion.choices[0]
        calls = [
            WantedCall(call.id or f"call-{number}", call.function.name, call.function.arguments)
            for number, call in enumerate((choice.message.tool_calls or [])[:MAX_CALLS])
        ]
        tokens = completion.usage.completion_tokens if completion.usage else None
        return Reply(choice.message.content or "", calls, choice.finish_reason == "length", tokens)

    async def _only_model(self) -> str:
        answer = await self._send("GET", "/models", None)
        listed = answer.get("data") if isinstance(answer, dict) else None
        names = [str(item.get("id")) for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        if len(names) != 1:
            shown = self._scrubbed(", ".join(names[:8])) or "none"
            raise ModelServerError(f"{self.url} lists {len(names)} models ({shown}); name one with --served-model NAME")
        return names[0]

    async def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        give_up_at = time.monotonic() + self._retry_for_s
        pause_s = 0.5
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    status, headers, content = await self._exchange(method, path, body)
                if status < 400:
                    return self._parsed(path, content)
                failure = self._refusal(path, status, content)
                wait_s = _retry_after_s(headers)
            except TimeoutError:
                failure = ModelServerError(f"{self.url}{path} gave no answer within {self._timeout_s:g} s")
                status, wait_s = 408, None
            except httpx.TransportError as error:
                what = self._scrubbed(str(error)) or type(error).__name__
                failure = ModelServerError(f"cannot reach {self.url}: {what}; check the URL and that the server runs")
                status, wait_s = 503, None
            except httpx.DecodingError as error:
                raise ModelServerError(f"{self.url}{path}: its answer cannot be decompressed: {error}") from error
            wait_s = wait_s or pause_s * random.uniform(0.5, 1.5)  # noqa: S311 - spreads the tries, guards nothing
            if status not in _TRY_AGAIN or time.monotonic() + wait_s > give_up_at:
                raise failure
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, httpx.Headers, bytes]:
        address = self._address.copy_with(path=_raw_path(self._address) + path)
        async with self._http.stream(method, address, json=body, headers=self._headers) as response:
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > _MAX_ANSWER_BYTES:
                    raise ModelServerError(f"{self.url}{path} answered more than {_MAX_ANSWER_BYTES} bytes")
            return response.status_code, response.headers, bytes(content)

    def _parsed(self, path: str, content: bytes) -> Any:
        try:
            return _whole_characters(json.loads(content))
        except (ValueError, RecursionError) as error:
            seen = self._scrubbed(content.decode(errors="replace"))[:80]
            raise ModelServerError(f"{self.url}{path} answered no JSON but {seen!r}; is it an OpenAI API?") from error

    def _refusal(self, path: str, status: int, content: bytes) -> ModelServerError:
        said = _said(content, self._scrubbed)
        if status in (401, 403):
            return ModelServerError(f"{self.url} refused the key (HTTP {status}): {said}; set OPENAI_API_KEY")
        if status in (400, 413, 422) and any(word in said for word in _OVERFLOW_WORDS):
            return ContextFullError(f"{self.url}: {said}")
        if status in (400, 413, 422):
            return RequestRefusedError(f"{self.url}{path}: HTTP {status}: {said}")
        if status == 404:
            return ModelServerError(f"{self.url}{path}: HTTP 404: {said}; check the URL and the model's name")
        return ModelServerError(f"{self.url}{path}: HTTP {status}: {said}")


def _api_root(url: str) -> httpx.URL:
    if not _is_web_url(url):
        shown = without_secrets(url)
        raise ModelServerError(f"{shown!r} is no URL of a model server; expected such as http://127.0.0.1:8000/v1")
    address = httpx.URL(url)
    path = _raw_path(address).rstrip("/").removesuffix("/chat/completions")
    return address.copy_with(path=path or "/v1", fragment=None)


def _raw_path(address: httpx.URL) -> str:
    """The path as it is sent: an escaped `?` or `/` in it stays escaped."""
    return address.raw_path.partition(b"?")[0].decode("ascii")


def _is_web_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and parts.port != 0 and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):
        return False


def _said(content: bytes, scrubbed: Scrubber) -> str:
    """The server's own words from its error body without what was secret in the request, on one line, cut at 500
    characters."""
    text = content.decode(errors="replace")
    try:
        body = json.loads(content)
        error = body.get("error", body) if isinstance(body, dict) else body
        if isinstance(error, dict):
            text = " ".join(str(error[key]) for key in ("code", "message") if error.get(key) is not None) or text
    except (ValueError, RecursionError):
        pass
    return " ".join(scrubbed(text).split())[:500] or "it said nothing"


def _whole_characters(value: Any) -> Any:
    """A JSON value in whose texts half a UTF-16 pair has become U+FFFD: no other server takes such a text."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isascii():
        return value
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _retry_after_s(headers: httpx.Headers) -> float | None:
    try:
        wanted_s = float(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return min(max(wanted_s, 0.1), _LONGEST_PAUSE_S) if math.isfinite(wanted_s) else None
