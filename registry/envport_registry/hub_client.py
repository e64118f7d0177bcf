"""Asking a hub: typed answers, one deadline per request, and one message when it is not there."""

from __future__ import annotations

import ipaddress
import random
import time
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from envport_protocol.errors import MethodNotAllowedError, NotFoundError
from envport_protocol.messages import ErrorBody
from pydantic import BaseModel, ValidationError

from envport_registry.errors import HubUnreachableError, NotAHubError, TokenRefusedError, registry_error_from_body
from envport_registry.hub_messages import DIGEST_HEADER, TAR_TYPE, EnvInfo, EnvList, PublishAnswer, VersionInfo
from envport_registry.ustar import BundleLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envport_registry.bundle import Bundle
    from envport_registry.names import EnvRef

    Progress = Callable[[int, int], None]
    OnBytes = Callable[[int], None]

AnswerT = TypeVar("AnswerT", bound=BaseModel)

_CONNECT_TIMEOUT_S = 5.0
_SILENCE_TIMEOUT_S = 30.0
_ANSWER_DEADLINE_S = 30.0
_TRANSFER_DEADLINE_S = 900.0
_GET_ATTEMPTS = 3
_BACKOFF_S = 0.2
_PASSING = frozenset({502, 503, 504})
_NO_HUBS_CODES = frozenset({NotFoundError.code, MethodNotAllowedError.code})
"""What a server of this project answers to paths that it does not have; a hub has all that are asked for here."""
_MAX_ANSWER_BYTES = 16 * 2**20
_MAX_PORT = 65535
_CHUNK_BYTES = 256 * 2**10


class HubClient:
    """A hub by its URL. Close it, or use it in a `with` block.

    Reading is tried three times where the hub does not answer; publishing once. `on_progress` gets the bytes done and
    the bytes in all.
    """

    def __init__(self, url: str, *, token: str | None = None, http: httpx.Client | None = None) -> None:
        """
        Raises:
            NotAHubError: `url` is no http or https URL, or holds a user or password.
            TokenRefusedError: `token` has characters that no token has.
        """
        self.url = _checked_url(url)
        self._token = None if token is None else _checked_token(token)
        self._owns_http = http is None
        self._http = http or httpx.Client(trust_env=not is_loopback(url))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections, where they are this client's own."""
        if self._owns_http:
            self._http.close()

    def search(self, query: str = "", limit: int = 100) -> list[VersionInfo]:
        """The default version of each environment in whose name or summary every word of the query stands."""
        request = self._http.build_request("GET", f"{self.url}/v1/envs", params={"q": query, "limit": limit})
        return self._get(request, EnvList).envs

    def env(self, ref: EnvRef) -> EnvInfo:
        """The environment with all its versions, highest first.

        Raises:
            UnknownEnvError: the hub does not have it.
        """
        return self._get(self._http.build_request("GET", self._env_url(ref)), EnvInfo)

    def version(self, ref: EnvRef) -> VersionInfo:
        """The version that `ref` means; without one, the highest release.

        Raises:
            UnknownEnvError: the hub does not have the environment.
            UnknownVersionError: nor that version or digest of it.
        """
        if ref.version is None and ref.digest is None:
            env = self.env(ref)
            return next(info for info in env.versions if info.version == env.default)
        request = self._http.build_request("GET", f"{self._env_url(ref)}/{quote(ref.version or ref.digest or '')}")
        return self._get(request, VersionInfo)

    def download(self, info: VersionInfo, on_progress: Progress | None = None) -> bytes:
        """The bytes that the hub has for this version's digest. Whether they match it is for the caller to check."""
        request = self._http.build_request("GET", f"{self.url}/v1/blobs/{info.digest}")

        def on_bytes(done: int) -> None:
            if on_progress is not None:
                on_progress(done, info.size_bytes)

        return self._retried(request, BundleLimits().max_bytes, _TRANSFER_DEADLINE_S, on_bytes)

    def publish(self, ref: EnvRef, bundle: Bundle, on_progress: Progress | None = None) -> PublishAnswer:
        """Publishes the bundle as `ref`, which has a version.

        Raises:
            TokenMissingError, TokenRefusedError: not with this token.
            VersionExistsError: the version is published with other content.
            BundleError: the hub does not take the bundle.
        """
        headers = {DIGEST_HEADER: bundle.digest, "Content-Type": TAR_TYPE, "Content-Length": str(len(bundle.tar))}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        body = _chunks(bundle.tar, on_progress)
        url = f"{self._env_url(ref)}/{quote(ref.version or '')}"
        request = self._http.build_request("POST", url, content=body, headers=headers)
        return self._parse(self._send(request, _MAX_ANSWER_BYTES, _TRANSFER_DEADLINE_S), PublishAnswer)

    def _env_url(self, ref: EnvRef) -> str:
        return f"{self.url}/v1/envs/{ref.full_name}"

    def _get(self, request: httpx.Request, answer: type[AnswerT]) -> AnswerT:
        return self._parse(self._retried(request, _MAX_ANSWER_BYTES, _ANSWER_DEADLINE_S), answer)

    def _retried(
        self, request: httpx.Request, max_bytes: int, deadline_s: float, on_bytes: OnBytes | None = None
    ) -> bytes:
        for attempt in range(1, _GET_ATTEMPTS):
            try:
                return self._send(request, max_bytes, deadline_s, on_bytes)
            except HubUnreachableError:
                time.sleep(_BACKOFF_S * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, no secret
        return self._send(request, max_bytes, deadline_s, on_bytes)

    def _send(
        self, request: httpx.Request, max_bytes: int, deadline_s: float, on_bytes: OnBytes | None = None
    ) -> bytes:
        """The body of a good answer.

        Raises:
            WireError: what the hub answered, or did not.
        """
        request.extensions["timeout"] = httpx.Timeout(_SILENCE_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S).as_dict()
        ends_at = time.monotonic() + deadline_s
        try:
            response = self._http.send(request, stream=True)
            try:
                body = self._read(response, max_bytes, ends_at, on_bytes if response.is_success else None)
            finally:
                response.close()
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        if not response.is_success:
            raise self._refusal(response, body)
        return body

    def _read(self, response: httpx.Response, max_bytes: int, ends_at: float, on_bytes: OnBytes | None) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes(_CHUNK_BYTES):
            body += chunk
            if len(body) > max_bytes:
                raise NotAHubError(
                    f"the hub at {self.url} sent more than the {max_bytes} bytes that an answer may have: is its data "
                    "folder damaged, or is it no envport hub?"
                )
            if time.monotonic() > ends_at:
                raise self._unreachable("its answer took too long")
            if on_bytes is not None:
                on_bytes(len(body))
        return bytes(body)

    def _parse(self, body: bytes, answer: type[AnswerT]) -> AnswerT:
        try:
            return answer.model_validate_json(body)
        except ValidationError as error:
            raise self._not_a_hub(f"{body[:60]!r}") from error

    def _refusal(self, response: httpx.Response, body: bytes) -> Exception:
        status = response.status_code
        try:
            answer = ErrorBody.model_validate_json(body)
            if answer.error.code in _NO_HUBS_CODES:
                return self._not_a_hub(f"{answer.error.message!r}; is it an environment?")
            return registry_error_from_body(status, answer)
        except ValidationError:
            if status in _PASSING:
                return self._unreachable(f"HTTP {status} from a server in between")
            return self._not_a_hub(f"HTTP {status} with {body[:60]!r}")

    def _unreachable(self, seen: str) -> HubUnreachableError:
        return HubUnreachableError(
            f"the hub at {self.url} does not answer ({seen}): start one with `envport hub serve`, or name another with "
            "--hub URL or ENVPORT_HUB"
        )

    def _not_a_hub(self, seen: str) -> NotAHubError:
        return NotAHubError(
            f"{self.url} answers, but not as an envport hub (seen {seen}): check the URL given by --hub or ENVPORT_HUB"
        )


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine itself by its spelling: localhost, 127.0.0.0/8 or ::1."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_url(url: str) -> str:
    if "@" in url:
        # Not shown: what stands before it may be a secret.
        raise NotAHubError(
            "the hub's URL has an '@', which no hub's URL has: expected http://HOST:PORT or https://HOST; a secret "
            "goes to --token or ENVPORT_TOKEN"
        )
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL("")
    if parts.scheme not in ("http", "https") or not parts.host or not 0 < (parts.port or 80) <= _MAX_PORT:
        raise NotAHubError(f"{url!r} is no hub's URL: expected http://HOST:PORT or https://HOST")
    return url.rstrip("/")


def _checked_token(token: str) -> str:
    token = token.strip()
    # Checked here, since the HTTP library's own message about a bad header would show the token.
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise TokenRefusedError(
            "the token given is empty or has a space or other characters that no token has: check --token and "
            "ENVPORT_TOKEN"
        )
    return token


def _chunks(content: bytes, on_progress: Progress | None) -> Iterator[bytes]:
    for start in range(0, len(content), _CHUNK_BYTES):
        yield content[start : start + _CHUNK_BYTES]
        if on_progress is not None:
            on_progress(min(start + _CHUNK_BYTES, len(content)), len(content))
