"""The client against hubs that are down, slow, lying, or no hubs at all."""

from __future__ import annotations

import json
import socket
import threading

import httpx
import pytest
from envport_protocol import BaseEnv
from envport_registry import EnvRef, HubClient, pack, pull
from envport_registry.cache import Cache
from envport_registry.errors import (
    DigestMismatchError,
    HubUnreachableError,
    NotAHubError,
    TokenRefusedError,
    UnknownEnvError,
    WrongAnswerError,
)
from envport_registry.hub_client import is_loopback

URL = "http://hub.test"
ZERO = "sha256:" + "0" * 64
VERSION = {
    "namespace": "me",
    "name": "toy",
    "version": "0.1.0",
    "digest": ZERO,
    "size_bytes": 3,
    "published_at": "2026-01-02T03:04:05Z",
}


def client_of(handler) -> HubClient:
    return HubClient(URL, http=httpx.Client(transport=httpx.MockTransport(handler)))


def answering(*answers):
    """A handler that gives these answers in turn, and the list of requests it saw."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        answer = answers[min(len(seen), len(answers) - 1)]
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handle, seen


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr("envport_registry.hub_client.time.sleep", waits.append)
    return waits


def test_a_hub_that_is_down_is_told_in_one_message():
    with HubClient("http://127.0.0.1:1") as hub, pytest.raises(HubUnreachableError) as caught:
        hub.search()
    assert caught.value.message == (
        "the hub at http://127.0.0.1:1 does not answer ([Errno 111] Connection refused): start one with `envport hub "
        "serve`, or name another with --hub URL or ENVPORT_HUB"
    )


def test_reading_is_tried_three_times_with_growing_pauses(no_waiting):
    down, busy = httpx.ConnectError("refused"), httpx.Response(503, text="a proxy says wait")
    handle, seen = answering(down, busy, httpx.Response(200, json={"envs": [VERSION]}))
    with client_of(handle) as hub:
        assert [version.digest for version in hub.search("a b", 7)] == [ZERO]
    assert [str(request.url) for request in seen] == [f"{URL}/v1/envs?q=a+b&limit=7"] * 3
    assert 0.2 <= no_waiting[0] <= 0.4 <= no_waiting[1] <= 0.8

    handle, seen = answering(down)
    with client_of(handle) as hub, pytest.raises(HubUnreachableError):
        hub.search()
    assert len(seen) == 3


def test_publishing_is_tried_once(make_env):
    from envport_registry import publish

    handle, seen = answering(httpx.ReadTimeout("slow"))
    with pytest.raises(HubUnreachableError, match="slow"):
        publish(make_env(), URL, "t" * 20, http=httpx.Client(transport=httpx.MockTransport(handle)))
    assert [(request.method, request.headers["authorization"]) for request in seen] == [("POST", "Bearer " + "t" * 20)]


def test_an_answer_is_not_retried():
    body = {"error": {"code": "unknown_env", "message": "none", "outcome": "infra_error"}}
    handle, seen = answering(httpx.Response(404, json=body))
    with client_of(handle) as hub, pytest.raises(UnknownEnvError, match=r"^none$"):
        hub.env(EnvRef("me", "toy"))
    assert len(seen) == 1


def test_every_request_has_a_deadline():
    handle, seen = answering(httpx.Response(200, json={"envs": []}))
    with client_of(handle) as hub:
        hub.search()
    assert seen[0].extensions["timeout"] == {"connect": 5.0, "read": 30.0, "write": 30.0, "pool": 30.0}


def test_an_answer_that_drips_is_given_up(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("envport_registry.hub_client.time.monotonic", lambda: now[0])

    def drip():
        for _ in range(100):
            now[0] += 1.0
            yield b" " * 2**18

    handle = lambda _: httpx.Response(200, content=drip())  # noqa: E731
    with client_of(handle) as hub, pytest.raises(HubUnreachableError, match="its answer took too long"):
        hub.search()
    assert now[0] == 3 * 31.0


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (httpx.Response(200, text="<html>hello</html>"), "<html>hello"),
        (httpx.Response(404, text="nothing here"), "HTTP 404 with b'nothing here'"),
        (httpx.Response(302, headers={"location": "https://elsewhere.test/"}), "HTTP 302"),
        (httpx.Response(200, json={"envs": [VERSION | {"digest": "\x1b[2J"}]}), "envs"),
        (httpx.Response(200, json={"envs": [VERSION | {"name": "../../etc"}]}), "envs"),
    ],
)
def test_what_is_no_hub_is_told_as_such(answer, seen):
    with client_of(answering(answer)[0]) as hub, pytest.raises(NotAHubError) as caught:
        hub.search()
    assert caught.value.message.startswith(f"{URL} answers, but not as an envport hub (seen ")
    assert seen in caught.value.message
    assert "check the URL given by --hub or ENVPORT_HUB" in caught.value.message
    assert "\x1b" not in caught.value.message


def test_an_environment_given_as_hub_is_told_as_such(serve_env):
    url = serve_env(BaseEnv())
    with HubClient(url) as hub, pytest.raises(NotAHubError) as caught:
        hub.search()
    assert caught.value.message == (
        f"{url} answers, but not as an envport hub (seen \"there is nothing at '/v1/envs'; the paths of this server "
        'are listed at /openapi.json"; is it an environment?): check the URL given by --hub or ENVPORT_HUB'
    )


def test_an_environment_without_its_default_version_is_no_answer():
    env = {"namespace": "me", "name": "toy", "default": "9.9", "versions": [VERSION]}
    with client_of(answering(httpx.Response(200, json=env))[0]) as hub, pytest.raises(NotAHubError):
        hub.version(EnvRef("me", "toy"))


def test_an_endless_answer_is_cut_off():
    def endless():
        while True:
            yield b" " * 2**20

    handle = lambda _: httpx.Response(200, content=endless())  # noqa: E731
    with client_of(handle) as hub, pytest.raises(NotAHubError, match="sent more than the 16777216 bytes"):
        hub.search()


@pytest.mark.parametrize(
    "url", ["", "hub", "127.0.0.1:8800", "ftp://hub", "http://", "file:///etc/passwd", "http://[::1", "http://h:99999"]
)
def test_a_url_that_is_none_is_told(url):
    with pytest.raises(NotAHubError, match="is no hub's URL: expected http://HOST:PORT"):
        HubClient(url)


@pytest.mark.parametrize("token", ["", "  ", "two words", "a\nb", "tökén"])
def test_a_token_that_is_none_is_refused_without_showing_it(token):
    with pytest.raises(TokenRefusedError) as caught:
        HubClient(URL, token=token)
    assert "check --token and ENVPORT_TOKEN" in caught.value.message
    assert not token.strip() or token not in caught.value.message


def test_a_hub_that_sends_other_bytes_is_refused(home):
    def handle(request: httpx.Request) -> httpx.Response:
        return (
            httpx.Response(200, content=b"abc") if "/blobs/" in request.url.path else httpx.Response(200, json=VERSION)
        )

    with pytest.raises(DigestMismatchError) as caught:
        pull("me/toy@0.1.0", URL, home, http=httpx.Client(transport=httpx.MockTransport(handle)))
    abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert caught.value.details == {"seen": abc, "expected": ZERO}
    assert not home.exists()


def test_a_pinned_digest_holds_against_the_hub(home):
    pinned = "sha256:" + "1" * 64
    handle, seen = answering(httpx.Response(200, content=json.dumps(VERSION)))
    with pytest.raises(DigestMismatchError, match=f"seen {ZERO}, expected {pinned}; do not use this hub"):
        pull(f"me/toy@{pinned}", URL, home, http=httpx.Client(transport=httpx.MockTransport(handle)))
    assert [request.url.path for request in seen] == [f"/v1/envs/me/toy/{pinned}"]


@pytest.mark.parametrize(
    ("asked", "other"),
    [
        ("me/toy@0.1.0", {"namespace": "you"}),
        ("me/toy", {"name": "other"}),
        (f"me/toy@{ZERO}", {"name": "other"}),
        ("me/toy@0.1.0", {"version": "0.0.9"}),
    ],
)
def test_an_answer_about_something_else_is_refused(home, asked, other):
    info = VERSION | other
    env = {"namespace": info["namespace"], "name": info["name"], "default": info["version"], "versions": [info]}
    handle, seen = answering(httpx.Response(200, json=env if asked == "me/toy" else info))
    with pytest.raises(WrongAnswerError) as caught:
        pull(asked, URL, home, http=httpx.Client(transport=httpx.MockTransport(handle)))
    assert caught.value.message == (
        f"the hub at {URL} was asked for {asked} and answered for "
        f"{info['namespace']}/{info['name']}@{info['version']}: do not use this hub"
    )
    assert len(seen) == 1


@pytest.mark.parametrize("inside", [{"name": "other"}, {"version": "0.0.9"}])
@pytest.mark.parametrize("cached", [False, True])
def test_a_bundle_of_something_else_is_refused_even_under_its_own_digest(home, make_env, inside, cached):
    bundle = pack(make_env(**inside))
    if cached:
        Cache(home).add(bundle)
    info = VERSION | {"digest": bundle.digest, "size_bytes": len(bundle.tar)}

    def handle(request: httpx.Request) -> httpx.Response:
        return (
            httpx.Response(200, content=bundle.tar) if "/blobs/" in request.url.path else httpx.Response(200, json=info)
        )

    with pytest.raises(WrongAnswerError) as caught:
        pull("me/toy@0.1.0", URL, home, http=httpx.Client(transport=httpx.MockTransport(handle)))
    assert caught.value.message == (
        f"the hub at {URL} gives me/toy@0.1.0 the bundle of {inside.get('name', 'toy')} "
        f"{inside.get('version', '0.1.0')}, by its envport.toml: do not use this hub; nothing was kept"
    )
    assert cached or not home.exists()


@pytest.mark.parametrize(
    "url", ["http://me:s3cret@hub.test", "https://s3cret@hub.test/", "s3cret@hub.test", "http://s3cret@"]
)
def test_a_url_with_a_user_or_password_is_refused_and_not_shown(url):
    with pytest.raises(NotAHubError, match="a secret goes to --token or ENVPORT_TOKEN") as caught:
        HubClient(url)
    assert "s3cret" not in caught.value.message


def test_loopback_is_told_by_spelling_only():
    own = ["http://localhost:8800", "http://127.0.0.1", "http://127.9.9.9:1", "http://[::1]:8800"]
    foreign = [
        "http://localhost.evil.test",
        "http://127.0.0.1.evil.test",
        "http://10.0.0.1",
        "http://0.0.0.0:8800",
        "x",
    ]
    assert [is_loopback(url) for url in own + foreign] == [True] * 4 + [False] * 5
    assert not is_loopback("http://127.0.0.1@evil.test/")


def test_a_proxy_is_not_asked_for_a_hub_on_this_machine(hub, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with HubClient(hub.url) as client:
        assert client.search() == []


def test_a_server_that_closes_the_connection_is_down_not_a_crash():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            for _ in range(3):
                connection, _ = listener.accept()
                connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        with HubClient(f"http://127.0.0.1:{port}") as hub, pytest.raises(HubUnreachableError, match="does not answer"):
            hub.search()
        thread.join(10)
