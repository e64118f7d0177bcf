"""What the hub refuses, byte by byte: always the one error body, and nothing stays."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import time

import httpx
import pytest
from envport_protocol.messages import ErrorBody
from envport_registry.bundle import pack
from envport_registry.digest import digest_of
from envport_registry.hub_server import create_hub
from envport_registry.hub_upload import UploadLimits
from envport_registry.store import Store
from envport_registry.ustar import BundleLimits, Entry, write_tar

ZERO = "sha256:" + "0" * 64


@pytest.fixture
def http():
    with httpx.Client(trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
def post(hub, http):
    def send(body: bytes, *, path="me/toy/0.1.0", digest: str | None = None, token: str | None = "right"):
        headers = {"X-Envport-Digest": digest or digest_of(body)}
        if token is not None:
            headers["Authorization"] = f"Bearer {hub.token if token == 'right' else token}"
        return http.post(f"{hub.url}/v1/envs/{path}", content=body, headers=headers)

    return send


def refused(response: httpx.Response) -> tuple[int, str, str]:
    error = ErrorBody.model_validate_json(response.content).error
    assert (error.outcome, error.trainable) == ("infra_error", False)
    return response.status_code, error.code, error.message


def test_publishing_needs_the_token(hub, post, make_env):
    tar = pack(make_env()).tar
    missing = post(tar, token=None)
    status, code, message = refused(missing)
    assert (status, code, missing.headers["www-authenticate"]) == (401, "token_missing", "Bearer")
    assert "--token or ENVPORT_TOKEN" in message
    for wrong in ("evp_wrong", hub.token + "x", hub.token[:-1], hashlib.sha256(hub.token.encode()).hexdigest()):
        status, code, message = refused(post(tar, token=wrong))
        assert (status, code) == (403, "token_refused")
        assert wrong not in message
        assert hub.token not in message
    assert hub.blobs == []
    assert post(tar).status_code == 201


def test_a_large_upload_without_the_token_gets_its_answer(post):
    assert refused(post(b"x" * 30_000_000, token="wrong", digest=ZERO))[:2] == (403, "token_refused")


def test_a_body_that_is_not_what_its_digest_says_is_refused(hub, post, make_env):
    tar = pack(make_env()).tar
    status, code, message = refused(post(tar, digest=ZERO))
    assert (status, code) == (422, "digest_mismatch")
    assert message == (
        f"the bundle as it arrived does not match its digest: seen {digest_of(tar)}, expected {ZERO}; it was changed "
        "on the way: publish again"
    )
    assert hub.blobs == []


def test_the_digest_header_is_needed_and_checked(hub, http, post):
    url, headers = f"{hub.url}/v1/envs/me/toy/0.1.0", {"Authorization": f"Bearer {hub.token}"}
    status, code, message = refused(http.post(url, content=b"x", headers=headers))
    assert (status, code) == (422, "invalid_request")
    assert "the header X-Envport-Digest is missing" in message
    assert refused(post(b"x", digest="md5:1"))[:2] == (422, "bad_name")
    assert refused(post(b""))[1:] == ("invalid_request", "the request has no body: expected the bundle's tar bytes")


def test_a_tar_that_is_no_bundle_is_refused(hub, post, make_env):
    toml = (make_env() / "envport.toml").read_bytes()
    for body, says in {
        b"x" * 2000: "no ustar archive",
        write_tar([Entry("../evil", b"x")]): "has a part '..'",
        write_tar([Entry("readme", b"x")]): "has no envport.toml",
        write_tar([Entry("envport.toml", b"name = [")]): "the bundle's envport.toml is not TOML",
        write_tar([Entry("envport.toml", toml + b"extra = 1\n")]): "unknown key 'extra'",
    }.items():
        status, code, message = refused(post(body))
        assert (status, code) == (422, "bad_bundle")
        assert says in message
    assert hub.blobs == []


def test_a_bundle_is_published_under_its_own_name_and_version_only(hub, post, make_env):
    tar = pack(make_env()).tar
    for path in ("me/other/0.1.0", "me/toy/0.2.0"):
        status, code, message = refused(post(tar, path=path))
        assert (status, code) == (422, "bad_bundle")
        assert message.startswith("the bundle's envport.toml says toy 0.1.0, the request says ")
    for path in ("Me/toy/0.1.0", "me/toy/latest", "me/toy/" + ZERO):
        assert refused(post(tar, path=path))[:2] == (422, "bad_name")
    assert hub.blobs == []


def test_an_upload_over_the_limit_is_cut_off(start_hub, http):
    hub = start_hub(UploadLimits(BundleLimits(max_bytes=100_000)))
    headers = {"Authorization": f"Bearer {hub.token}", "X-Envport-Digest": ZERO}
    url = f"{hub.url}/v1/envs/me/toy/0.1.0"
    status, code, message = refused(http.post(url, content=b"x" * 100_001, headers=headers))
    assert (status, code) == (413, "body_too_large")
    assert message.startswith("the bundle has 100001 bytes, this hub takes at most 100000 bytes")

    chunks_sent = 0

    def endless():
        nonlocal chunks_sent
        while chunks_sent < 1000:
            chunks_sent += 1
            yield b"x" * 10_000

    status, code, message = refused(http.post(url, content=endless(), headers=headers))
    assert (status, code) == (413, "body_too_large")
    assert message.startswith("the bundle has more, this hub takes at most 100000 bytes")
    assert hub.blobs == []


def test_limits_on_files_hold_on_the_hub(start_hub, http, make_env):
    hub = start_hub(UploadLimits(BundleLimits(max_files=2)))
    tar = pack(make_env(files={"third.txt": "3"})).tar
    headers = {"Authorization": f"Bearer {hub.token}", "X-Envport-Digest": digest_of(tar)}
    answer = http.post(f"{hub.url}/v1/envs/me/toy/0.1.0", content=tar, headers=headers)
    assert refused(answer) == (422, "bad_bundle", "the bundle has more than the 2 files that are allowed")


def test_an_upload_that_stalls_is_ended(start_hub):
    hub = start_hub(UploadLimits(timeout_s=0.2))
    head = (
        f"POST /v1/envs/me/toy/0.1.0 HTTP/1.1\r\nHost: hub\r\nContent-Length: 5000\r\nX-Envport-Digest: {ZERO}\r\n"
        f"Authorization: Bearer {hub.token}\r\n\r\nxxx"
    )
    host, port = hub.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as stalled:
        stalled.sendall(head.encode())
        answer = stalled.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the bundle did not arrive within 0.2 s" in answer
    assert hub.blobs == []


def test_a_client_that_goes_away_leaves_nothing(hub):
    head = (
        f"POST /v1/envs/me/toy/0.1.0 HTTP/1.1\r\nHost: hub\r\nContent-Length: 5000\r\nX-Envport-Digest: {ZERO}\r\n"
        f"Authorization: Bearer {hub.token}\r\n\r\nxxx"
    )
    host, port = hub.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as leaving:
        leaving.sendall(head.encode())
        wait_until(lambda: len(hub.blobs) == 1)
    wait_until(lambda: hub.blobs == [])


def wait_until(holds) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_every_failure_has_the_one_error_body(hub, http):
    expected = {
        ("GET", "/"): (404, "not_found"),
        ("GET", "/v2/envs"): (404, "not_found"),
        ("DELETE", "/v1/envs"): (405, "method_not_allowed"),
        ("GET", "/v1/envs?limit=0"): (422, "invalid_request"),
        ("GET", "/v1/envs?limit=ten"): (422, "invalid_request"),
        ("GET", "/v1/envs?q=" + "x" * 201): (422, "invalid_request"),
        ("GET", "/v1/envs/me/toy"): (404, "unknown_env"),
        ("GET", "/v1/envs/ME/toy"): (422, "bad_name"),
        ("GET", "/v1/envs/me/toy/1.0"): (404, "unknown_env"),
        ("GET", "/v1/envs/me/toy/one"): (422, "bad_name"),
        ("GET", f"/v1/blobs/{ZERO}"): (404, "unknown_blob"),
        ("GET", "/v1/blobs/..%2f..%2fhub.sqlite3"): (404, "not_found"),
        ("GET", "/v1/blobs/sha256:..%5c"): (422, "bad_name"),
    }
    seen = {(method, path): refused(http.request(method, hub.url + path))[:2] for method, path in expected}
    assert seen == expected


def test_a_failure_of_the_hub_itself_is_told_as_such(tmp_path, monkeypatch):
    store = Store(tmp_path / "data")
    app = create_hub(store)
    monkeypatch.setattr(store, "search", lambda *_: 1 / 0)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
            return await client.get("/v1/envs")

    assert refused(asyncio.run(ask())) == (
        500,
        "infra_error",
        "the hub failed in '/v1/envs' (ZeroDivisionError); see its log",
    )
    store.close()


def test_a_hub_is_alive_and_ready(hub, http):
    assert http.get(f"{hub.url}/livez").json() == {"status": "alive"}
    assert http.get(f"{hub.url}/readyz").json() == {"status": "ready", "service": "envport-hub"}


def test_a_blob_says_what_it_is(hub, http, post, make_env):
    tar = pack(make_env()).tar
    post(tar)
    answer = http.get(f"{hub.url}/v1/blobs/{digest_of(tar)}")
    assert (answer.content, answer.headers["x-envport-digest"]) == (tar, digest_of(tar))
    assert answer.headers["content-type"] == "application/x-tar"
    assert "immutable" in answer.headers["cache-control"]


def test_the_openapi_schema_names_every_path(hub, http):
    assert sorted(json.loads(http.get(f"{hub.url}/openapi.json").content)["paths"]) == [
        "/livez",
        "/readyz",
        "/v1/blobs/{digest}",
        "/v1/envs",
        "/v1/envs/{namespace}/{name}",
        "/v1/envs/{namespace}/{name}/{version}",
    ]
