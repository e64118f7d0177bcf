"""What is not HTTP, or HTTP of a kind that tricks servers, gets a clear refusal, and the server goes on."""

from __future__ import annotations

import gzip
import json
import time

import pytest

from .wire import request

END = b'{"rollout_id":"nobody"}'
UNKNOWN = (404, "unknown_rollout")
VERBS = [
    "start_rollout",
    "fork_rollout",
    "list_tools",
    "run_tool",
    "compute_reward",
    "compute_group_reward",
    "cancel",
    "end_rollout",
    "batch",
]


def head(*lines: str) -> bytes:
    """The head of a POST to end_rollout with these headers."""
    return "\r\n".join(["POST /v1/end_rollout HTTP/1.1", "Host: x", *lines, "", ""]).encode("latin-1")


NOT_HTTP = {
    "words": b"hello, is anybody there?\r\n\r\n",
    "nothing but line ends": b"\r\n" * 50 + b"x\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "zeros": bytes(2000),
    "an unknown version": b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
    "an unknown method": b"BREW /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the path": b"GET /li vez HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes beyond ASCII in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "no Host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a header without a colon": head("nonsense"),
    "a header with NUL": head("X-A: a\0b"),
    "a header with a space in its name": head("X A: b"),
    "a space before the colon": head("Content-Length : 23") + END,
    "a length that is negative": head("Content-Length: -1"),
    "a length that is a word": head("Content-Length: many"),
    "a length with a sign": head("Content-Length: +23") + END,
    "a length in hexadecimal": head("Content-Length: 0x17") + END,
    "a length beyond 64 bits": head(f"Content-Length: {10**30}"),
    "two lengths": head("Content-Length: 23", "Content-Length: 5") + END,
    "two lengths in one": head("Content-Length: 23, 5") + END,
    "a length and chunks": head("Content-Length: 23", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunks and a length": head("Transfer-Encoding: chunked", "Content-Length: 23") + b"0\r\n\r\n",
    "a chunk whose size is a word": head("Transfer-Encoding: chunked") + b"many\r\n" + END + b"\r\n0\r\n\r\n",
    "a chunk longer than its size": head("Transfer-Encoding: chunked") + b"5\r\n" + END + b"\r\n0\r\n\r\n",
    "a chunk of negative size": head("Transfer-Encoding: chunked") + b"-5\r\n" + END + b"\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": head("Transfer-Encoding: chunked") + b"f" * 20 + b"\r\n",
    "an unknown transfer coding": head("Transfer-Encoding: cow") + END,
    "chunked, but not as the last coding": head("Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
}


@pytest.mark.parametrize("what", NOT_HTTP)
def test_what_is_not_http_is_400_and_the_connection_ends(target, what):
    with target.wire() as wire:
        wire.send(NOT_HTTP[what])
        replies = wire.replies()
    assert [reply.error for reply in replies] == [(400, "bad_request")]
    assert replies[0].headers["connection"] == "close"


@pytest.mark.parametrize(
    "smuggled",
    [
        head("Content-Length: 0", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head("Content-Length: 23", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head("Transfer-Encoding: xchunked", "Transfer-Encoding: chunked", "Content-Length: 4") + b"0\r\n\r\n",
        head("Transfer-Encoding:\x0bchunked", "Content-Length: 4") + b"0\r\n\r\n",
        head("Content-Length: 6", "Content-Length: 0") + b"0\r\n\r\nX",
    ],
    ids=range(5),
)
def test_a_request_hidden_in_another_is_not_answered(target, smuggled):
    with target.wire() as wire:
        wire.send(smuggled + request("GET", "/livez"))
        assert [reply.error for reply in wire.replies()] == [(400, "bad_request")]


TOO_LARGE = {
    "one header of 100 KB": request("GET", "/livez", X_Large="x" * 100_000),
    "10,000 headers": head(*(f"X-{number}: y" for number in range(10_000))),
    "100 KB of headers without an end": head(*(f"X-{number}: {'y' * 90}" for number in range(1_000)))[:-4],
    "a path of 100 KB": request("GET", "/" + "x" * 100_000),
    "a query of 100 KB": request("GET", "/v1/tasks?split=" + "x" * 100_000),
    "a URL without an end": b"GET /" + b"x" * 100_000,
    "a method without an end": b"G" * 100_000,
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_headers_and_urls_over_the_limit_are_431(target, what):
    with target.wire() as wire:
        wire.send(TOO_LARGE[what])
        refused = [reply.error for reply in wire.replies()]
    assert refused == [(400, "bad_request") if what == "a method without an end" else (431, "headers_too_large")]


def test_headers_within_the_limit_are_read(target):
    many = {f"X_{number}": "y" * 50 for number in range(200)}
    assert target.ask(request("GET", "/livez", **many)).status == 200


def test_http_1_0_needs_no_host_and_gets_a_length_where_it_is_known(target):
    with target.wire() as wire:
        wire.send(b"GET /livez HTTP/1.0\r\n\r\n")
        (reply,) = wire.replies()
    assert (reply.status, reply.headers["content-length"], reply.headers["connection"]) == (200, "18", "close")


def test_a_batch_over_http_1_0_has_no_chunks(target):
    body = b'{"calls":[{"id":"a","verb":"end_rollout","body":{"rollout_id":"nobody"}}]}'
    with target.wire() as wire:
        wire.send(request("POST", "/v1/batch", body).replace(b"HTTP/1.1", b"HTTP/1.0"))
        head, _, lines = wire.rest().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert json.loads(lines)["status"] == 404


def test_a_body_that_ends_early_leaves_nothing_behind(target):
    start = b'{"rollout_id":"cut","split":"train","index":0}'
    for length in (len(start) + 1, len(start) + 10**6):
        with target.wire() as wire:
            wire.send(request("POST", "/v1/start_rollout", start, Content_Length=str(length)))
            wire.finish()
            assert [reply.error for reply in wire.replies()] in ([], [(400, "bad_request")])
    for cut in range(0, len(start), 7):
        with target.wire() as wire:
            wire.send(request("POST", "/v1/start_rollout", start)[: -len(start) + cut])
    assert target.post("end_rollout", b'{"rollout_id":"cut"}').error == UNKNOWN


def test_a_chunked_body_that_ends_early_leaves_nothing_behind(target):
    start = b'{"rollout_id":"cut","split":"train","index":0}'
    chunked = request("POST", "/v1/start_rollout", Transfer_Encoding="chunked")
    with target.wire() as wire:
        wire.send(chunked + b"%x\r\n%s\r\n" % (len(start), start))
        wire.finish()
        assert [reply.error for reply in wire.replies()] in ([], [(400, "bad_request")])
    assert target.post("end_rollout", b'{"rollout_id":"cut"}').error == UNKNOWN


def test_a_chunked_body_is_read(target):
    chunked = request("POST", "/v1/end_rollout", Transfer_Encoding="chunked")
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in END)
    assert target.ask(chunked + pieces + b"0\r\n\r\n").error == UNKNOWN
    assert target.ask(chunked + pieces + b"0\r\nX-Trailer: yes\r\n\r\n").error == UNKNOWN


def test_pipelined_requests_are_answered_in_their_order(target):
    asked = [request("POST", "/v1/end_rollout", b'{"rollout_id":"nobody-%d"}' % number) for number in range(100)]
    with target.wire() as wire:
        wire.send(b"".join(asked))
        replies = [wire.reply() for _ in asked]
    assert [reply.error for reply in replies] == [UNKNOWN] * 100
    assert all(f"'nobody-{number}'" in reply.json["error"]["message"] for number, reply in enumerate(replies))


def test_what_is_not_http_behind_a_good_request_ends_the_connection(target):
    good = request("POST", "/v1/end_rollout", END)
    with target.wire() as wire:
        wire.send(good + b"nonsense\r\n\r\n" + good)
        assert [reply.error for reply in wire.replies()] in ([], [UNKNOWN], [UNKNOWN, (400, "bad_request")])


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(target):
    with target.wire() as wire:
        wire.send(request("POST", "/v1/end_rollout", END, Expect="100-continue")[: -len(END)])
        assert wire.reply().status == 100
        wire.send(END)
        assert wire.reply().error == UNKNOWN


def test_a_body_too_large_is_refused_before_it_is_sent(target):
    with target.wire() as wire:
        wire.send(request("POST", "/v1/end_rollout", b"", Expect="100-continue", Content_Length=str(10**9)))
        assert [reply.error for reply in wire.replies()] == [(413, "body_too_large")]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "GET"])
def test_a_wrong_method_is_405_on_each_verb(target, method):
    for verb in VERBS:
        with target.wire() as wire:
            wire.send(request(method, f"/v1/{verb}", None if method in ("HEAD", "GET") else END))
            reply = wire.reply(is_head=method == "HEAD")
            assert (verb, reply.status, reply.headers["allow"]) == (verb, 405, "POST")
            if method != "HEAD":
                assert reply.error == (405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/v1/manifest", "/v1/tasks?split=train", "/livez", "/readyz", "/openapi.json", "/"])
def test_a_get_answers_head_and_no_other_method(target, path):
    with target.wire() as wire:
        wire.send(request("HEAD", path))
        reply = wire.reply(is_head=True)
        wire.send(request("GET", path))
        assert wire.reply().status == reply.status == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        assert target.ask(request(method, path, b"{}")).error == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "path", ["/v2/manifest", "/v2/run_tool", "/v0/start_rollout", "/v1", "/v1/", "/v1/run_tool/", "//v1/run_tool",
             "/v1/RUN_TOOL", "/v1/../v1/run_tool", "/v1/run_tool%00", "/v1/%2e%2e/livez", "/livez/..;/x"]
)  # fmt: skip
def test_an_unknown_path_is_404(target, path):
    for method, body in (("GET", None), ("POST", b"{}")):
        assert target.ask(request(method, path, body)).error == (404, "not_found")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "x;y"])
def test_a_body_of_another_type_is_415(target, kind):
    for verb in VERBS:
        assert target.post(verb, END, Content_Type=kind).error == (415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/json;x=y"])
def test_json_may_be_called_so_in_any_way(target, kind):
    assert target.post("end_rollout", END, Content_Type=kind).error == UNKNOWN


def test_a_body_of_no_type_is_read(target):
    assert target.ask(request("POST", "/v1/end_rollout", END)).error == UNKNOWN


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_compressed_body_is_refused(target, coding):
    body = gzip.compress(END) if coding == "gzip" else END
    assert target.post("end_rollout", body, Content_Encoding=coding).error == (415, "unsupported_media_type")


def test_a_thousand_connections_that_say_nothing_leave_room(target):
    before = time.monotonic()
    idle = [target.wire() for _ in range(2000)]
    for number, wire in enumerate(idle):
        if number % 2:
            wire.send(b"POST /v1/run_tool HTTP/1.1\r\nHost:")
    target.plays_a_rollout()
    for wire in idle:
        wire.__exit__()
    assert time.monotonic() - before < 30
