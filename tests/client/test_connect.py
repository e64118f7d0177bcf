"""What a URL turns out to be, and what the caller is told."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any

import envport
import envport.transport
import httpx
import pytest
from envport.over_httpx import OverHttpx

if TYPE_CHECKING:
    from envport.http import RawAnswer

URL = "http://env.test:8000"


async def failure(http, error_type, retry_for_s=0.05, url=URL):
    with pytest.raises(error_type) as caught:
        async with envport.connect(url, retry_for_s=retry_for_s, http=http):
            pass
    assert type(caught.value) is error_type
    return str(caught.value)


async def test_the_manifest_is_there_on_entering(script, scripted_http):
    async with envport.connect(URL + "/", http=scripted_http) as env:
        assert (env.url, env.manifest.name, env.manifest.version) == (URL, "echo", "0.1.0")
        assert env.manifest.limits.call_timeout_s == 5.0
    assert [(r.method, str(r.url)) for r in script.requests] == [("GET", URL + "/v1/manifest")]


async def test_a_path_before_v1_is_kept(script, scripted_http):
    script.answers["/envs/echo/v1/manifest"] = script.answers["/v1/manifest"]
    async with envport.connect(URL + "/envs/echo/", http=scripted_http) as env:
        assert env.manifest.name == "echo"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:8000", "is no http or https URL; expected one such as http://127.0.0.1:8000"),
        ("ftp://127.0.0.1", "is no http or https URL; expected one such as http://127.0.0.1:8000"),
        ("http://", "is no http or https URL; expected one such as http://127.0.0.1:8000"),
        ("", "is no http or https URL; expected one such as http://127.0.0.1:8000"),
        ("http://127.0.0.1:port", "is no URL (Invalid port: 'port'); expected one such as http://127.0.0.1:8000"),
    ],
)
def test_what_is_no_url_is_told_before_anything_is_sent(url, said):
    with pytest.raises(envport.TransportError) as caught:
        envport.connect(url)
    assert str(caught.value) == f"{url}: {said}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://me:hunter2@h:1", "http://h:1: has a user or a password in it"),
        ("http://me:hunter2@h:port", "http://h:port: is no URL; expected one"),
        ("http://me:hunter2/3@h", "http://h: is no URL; expected one"),
        ("htps://me:hunter2@h", "htps://h: is no http or https URL"),
        ("me:hunter2@h:1", "h:1: is no http or https URL"),
        ("http://h/?token=hunter2", "http://h/: has a query or a fragment"),
        ("http://h/#hunter2", "http://h/: has a query or a fragment"),
        ("http://h/?at=a@b&token=hunter2", "http://…: has a query or a fragment"),
        ("http://h:port?token=hunter2", "http://h:port: is no URL; expected one"),
    ],
)
def test_what_may_be_a_secret_in_the_url_is_refused_and_not_repeated(url, said):
    with pytest.raises(envport.TransportError) as caught:
        envport.connect(url)
    assert str(caught.value).startswith(said)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".test"])
def test_a_host_name_that_cannot_be_looked_up_is_told_before_anything_is_sent(host):
    with pytest.raises(envport.TransportError, match=r"is no URL \(.*label.*\)"):
        envport.connect(f"http://{host}")


async def test_two_that_open_the_client_at_once_share_one_connection(script, monkeypatch):
    opened: list[Http] = []
    closed: list[Http] = []

    class Http(OverHttpx):
        async def send(self, *args: Any, **options: Any) -> RawAnswer:
            await asyncio.sleep(0)
            return await super().send(*args, **options)

        async def close(self) -> None:
            closed.append(self)

    async with httpx.AsyncClient(transport=httpx.MockTransport(script.answer)) as http:
        monkeypatch.setattr(envport.EnvClient, "_open_http", lambda self: opened.append(Http(http)) or opened[-1])
        env = envport.connect(URL)
        await asyncio.gather(env.open(), env.open())
        assert (len(opened), len(closed)) == (2, 1)
        assert env.manifest.name == "echo"
        await env.close()
    assert {*closed} == {*opened}


def test_importing_the_client_imports_no_http_library():
    told = "import envport, sys; print([name for name in ('httpx', 'aiohttp') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


async def test_a_port_where_nothing_listens_says_so_and_names_the_url():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    told = await failure(None, envport.TransportError, retry_for_s=0, url=url)
    assert told == (
        f"{url}/v1/manifest: connection refused: nothing listens there; check host and port, and that the server runs"
    )


async def test_a_server_that_never_answered_is_given_up_early(script, scripted_http, monkeypatch):
    monkeypatch.setattr(envport.transport, "FIRST_CONTACT_S", 0.0)
    script.say("/v1/manifest", httpx.ConnectError("no route"))
    told = await failure(scripted_http, envport.TransportError, retry_for_s=600)
    assert told.endswith("no connection (no route); check host and port, and that the server runs")
    assert script.count("/v1/manifest") == 1


async def test_a_server_that_answered_once_is_waited_for(script, scripted_http, monkeypatch):
    monkeypatch.setattr(envport.transport, "FIRST_CONTACT_S", 0.0)
    script.say("/v1/list_tools", httpx.ConnectError("down"), httpx.ConnectError("down"), {"tools": []})
    async with envport.connect(URL, http=scripted_http) as env:
        assert await env.list_tools() == []
    assert script.count("/v1/list_tools") == 3


async def test_an_unknown_host_says_which(script, scripted_http):
    error = httpx.ConnectError("x")
    error.__cause__ = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    script.say("/v1/manifest", error)
    told = await failure(scripted_http, envport.TransportError, retry_for_s=0)
    assert told == f"{URL}/v1/manifest: the host name 'env.test' is not known; check the URL"


NOT_ENVIRONMENTS = {
    "a page": (httpx.Response(200, html="<html>Welcome"), "HTTP 200 (text/html, '<html>Welcome'), expected JSON"),
    "no such page": (httpx.Response(404, html="<h1>404"), "HTTP 404 (text/html, '<h1>404'), which is no answer"),
    "a redirect": (httpx.Response(302, headers={"location": "/login"}), "HTTP 302 to /login (no content type, '')"),
    "other JSON": (httpx.Response(200, json={"name": "shop", "version": "3"}), "names no protocol versions"),
    "a JSON list": (httpx.Response(200, json=[1]), "answered no JsonObject"),
    "half a manifest": (httpx.Response(200, json={"protocol": {}, "version": "1"}), "does not fit: name: Field req"),
    "an odd version": (httpx.Response(200, json={"protocol": {"min": "one"}}), "its protocol version is 'one'"),
    "other errors": (httpx.Response(404, json={"detail": "Not Found"}), 'HTTP 404 (application/json, \'{"detail"'),
}


@pytest.mark.parametrize("kind", NOT_ENVIRONMENTS)
async def test_what_is_no_environment_is_told_with_what_was_seen(kind, script, scripted_http):
    answer, seen = NOT_ENVIRONMENTS[kind]
    script.say("/v1/manifest", answer)
    told = await failure(scripted_http, envport.NotAnEnvironmentError)
    assert told.startswith(f"{URL}: something answers there, but it serves no environment: ")
    assert seen in told
    assert told.endswith("Check host, port and path; `envport serve` and `envport run` print the URL to use")
    assert script.count("/v1/manifest") == 1


async def test_a_hub_is_no_environment(script, scripted_http, wire_error):
    script.say("/v1/manifest", wire_error(404, "not_found", "no such path on this hub: /v1/manifest"))
    told = await failure(scripted_http, envport.NotAnEnvironmentError)
    assert "serves no environment: GET /v1/manifest: no such path on this hub: /v1/manifest." in told


@pytest.mark.parametrize(
    ("lowest", "highest", "remedy"),
    [("2.0", "2.1", "update this envport (pip install -U envport)"), ("0.1", "0.9", "update the server")],
)
async def test_another_protocol_version_says_who_must_update(lowest, highest, remedy, script, scripted_http):
    script.say("/v1/manifest", {"protocol": {"min": lowest, "max": highest}, "all": "else may differ"})
    told = await failure(scripted_http, envport.VersionError)
    assert told == f"{URL}: the server speaks protocol {lowest} to {highest}, this client 1.1; {remedy}"


@pytest.mark.parametrize(
    "spoken", [{"min": "0.10", "max": "1.10"}, {"min": "1.1", "max": "1.1"}, {"min": "1.3", "max": "2.0"}, {}]
)
async def test_a_range_with_our_major_version_is_read(spoken, script, scripted_http):
    script.say("/v1/manifest", {"name": "e", "version": "1", "protocol": spoken})
    async with envport.connect(URL, http=scripted_http) as env:
        told = env.manifest.protocol
    assert (told.min, told.max) == (spoken.get("min", "1.0"), spoken.get("max", "1.1"))


async def test_a_server_that_gets_ready_is_waited_for(script, scripted_http, wire_error):
    starting = wire_error(503, "not_ready", "loading the index")
    page = httpx.Response(502, html="<h1>Bad Gateway")
    script.say("/v1/manifest", page, starting, script.answers["/v1/manifest"][0])
    async with envport.connect(URL, http=scripted_http) as env:
        assert env.manifest.name == "echo"
    assert script.count("/v1/manifest") == 3


async def test_a_server_that_does_not_get_ready_tells_its_reason(script, scripted_http, wire_error):
    script.say("/v1/manifest", wire_error(503, "not_ready", "loading the index"))
    told = await failure(scripted_http, envport.NotReadyError, retry_for_s=0)
    assert told == f"{URL}: the environment is not ready: loading the index"


async def test_a_proxy_whose_server_stays_away_is_told(script, scripted_http):
    script.say("/v1/manifest", httpx.Response(502, html="<h1>Bad Gateway"))
    told = await failure(scripted_http, envport.TransportError, retry_for_s=0)
    assert told == (f"{URL}/v1/manifest: answered HTTP 502 (text/html, '<h1>Bad Gateway'), as if it were away or full")


def test_a_client_that_was_not_entered_says_how():
    with pytest.raises(RuntimeError, match=r"use it inside `async with envport\.connect\(url\) as env:`"):
        _ = envport.connect(URL).manifest


async def test_the_given_http_client_stays_open(script, scripted_http):
    async with envport.connect(URL, http=scripted_http):
        pass
    assert not scripted_http.is_closed
