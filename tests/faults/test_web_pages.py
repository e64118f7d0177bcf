"""A web page that its user only looks at can do nothing with a server on his machine that asks for no token."""

from __future__ import annotations

import pytest

from .wire import request

START = b'{"rollout_id":"by-a-page","split":"train","index":0}'
FORBIDDEN = (403, "forbidden")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8000", "https://evil.example"),
        ("127.0.0.1:8000", "null"),
        ("127.0.0.1:8000", "http://127.0.0.1:9000"),
        ("evil.example", "http://evil.example"),
    ],
    ids=["another site", "a sandboxed page", "another port", "a name bent to this machine"],
)
def test_a_page_of_another_origin_starts_nothing(target, host, origin):
    asked = [
        target.ask(request("POST", f"/v1/{verb}", body, Host=host, Origin=origin))
        for verb, body in (("start_rollout", START), ("end_rollout", b'{"rollout_id":"by-a-page"}'))
    ]
    assert [reply.status for reply in asked] == [403, 403]
    assert asked[0].error == FORBIDDEN


BROWSER = {"Accept_Language": "de"}


@pytest.mark.parametrize("path", ["/v1/tasks?split=train", "/v1/manifest", "/v1/rollouts", "/metrics", "/"])
def test_a_page_behind_a_name_bent_to_this_machine_reads_nothing(target, path):
    bent = request("GET", path, Host="evil.example:8000", **BROWSER)
    assert target.ask(bent).error == FORBIDDEN


@pytest.mark.parametrize("path", ["/v1/tasks?split=train", "/"])
def test_a_browser_may_read_by_address_and_another_client_by_any_name(target, path):
    asked = [
        request("GET", path, Host="127.0.0.1:8000", **BROWSER),
        request("GET", path, Host="[::1]:8000", **BROWSER),
        request("GET", path, Host="localhost:8000", **BROWSER),
        request("GET", path, Host="environment:8000"),
        request("GET", path, Host="environment:8000", Accept_Language="*", Sec_Fetch_Mode="cors"),
    ]
    assert [target.ask(one).status for one in asked] == [200] * 5


def test_the_servers_own_page_may(target):
    host = f"127.0.0.1:{target.address[1]}"
    asked = [
        target.ask(
            request("POST", f"/v1/{verb}", body.replace(b"by-a-page", b"own"), Host=host, Origin=f"http://{host}")
        )
        for verb, body in (("start_rollout", START), ("end_rollout", b'{"rollout_id":"by-a-page"}'))
    ]
    assert [reply.status for reply in asked] == [200, 200]
