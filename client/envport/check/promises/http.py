"""HTTP that is wrong, too large or too slow: refused by its exact status, in the one form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envport.check.definition import BrokenError, check
from envport.check.expectations import good, refused
from envport.check.raw_http import exchange, request_bytes

if TYPE_CHECKING:
    from envport.check.probe import Probe

_LONG = 70_000
_SLOW_WITHIN_S = 45.0
_MOST_TO_SEND = 2**26


@check(
    promise=10,
    expected="413 body_too_large, whether the length was declared or not",
    remedy="The server must read no further than limits.max_body_bytes.",
)
async def too_large_bodies_are_refused(probe: Probe) -> str:
    """Declares a body over the limit without sending it, and sends one in chunks without declaring it."""
    most = probe.limits["max_body_bytes"]
    declared = request_bytes(probe.wire, "POST", "/v1/list_tools", b"{", {"Content-Length": str(most + 1)})
    refused(await exchange(probe.wire, "POST /v1/list_tools (declared)", declared), 413, "body_too_large")
    if most > _MOST_TO_SEND:
        return f"413 for a declared length over {most} bytes"
    headers = {"Content-Length": None, "Transfer-Encoding": "chunked"}
    chunked = request_bytes(probe.wire, "POST", "/v1/list_tools", b"", headers)
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    content = chunked + chunk * (most // 0x10000 + 1) + b"0\r\n\r\n"
    refused(await exchange(probe.wire, "POST /v1/list_tools (chunked)", content), 413, "body_too_large")
    return f"413 over {most} bytes, declared and in chunks"


@check(
    promise=10,
    expected="404 not_found for each",
    remedy="The server must answer unknown paths by the one error body.",
)
async def unknown_paths_are_not_found(probe: Probe) -> str:
    """Asks for paths that do not exist."""
    paths = ["/no-such-path", "/v1/no_such_verb", "/v1", "/v1/manifest/more", "/%2e%2e/etc/passwd", "/docs"]
    for path in paths:
        refused(await probe.wire.get(path), 404, "not_found")
    return f"404 for {len(paths)} paths"


@check(
    promise=10,
    expected="405 method_not_allowed with Allow",
    remedy="The server must say which methods a path has.",
)
async def wrong_methods_are_refused(probe: Probe) -> str:
    """Asks for paths by methods that they do not have."""
    pairs = [("POST", "/v1/manifest"), ("DELETE", "/v1/tasks"), ("GET", "/v1/run_tool"), ("PUT", "/v1/start_rollout")]
    for method, path in pairs:
        reply = await probe.wire.request(method, path)
        refused(reply, 405, "method_not_allowed")
        if not reply.headers.get("allow"):
            raise BrokenError(f"{reply.told} without Allow")
    return f"405 with Allow for {len(pairs)} requests"


@check(
    promise=10,
    expected="415 unsupported_media_type for other types; a missing one is read as JSON",
    remedy="The server must not read a body as JSON that is declared as something else.",
)
async def other_content_types_are_refused(probe: Probe) -> str:
    """Sends good bodies declared as text, as a form and as XML, and one without a declaration."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        reply = await probe.wire.send("list_tools", b"{}", headers={"content-type": kind})
        refused(reply, 415, "unsupported_media_type")
    good(await probe.wire.send("list_tools", b"{}", headers={"content-type": "application/json; charset=utf-8"}))
    silent = request_bytes(probe.wire, "POST", "/v1/list_tools", b"{}", {"Content-Type": None})
    good(await exchange(probe.wire, "POST /v1/list_tools (no content type)", silent))
    return "415 for three types, 200 without one"


@check(
    promise=10,
    expected="400 bad_request for each",
    remedy="The server must answer what is not HTTP by the one error body too.",
)
async def malformed_http_is_refused(probe: Probe) -> str:
    """Sends bytes that are no HTTP request, a broken request line and a broken header."""
    wrong = {
        "bytes that are no HTTP": b"\x16\x03\x01\x02\x00 not http\r\n\r\n",
        "a request line without a version": b"GET\r\n\r\n",
        "a header without a colon": b"GET /livez HTTP/1.1\r\nHost: a\r\nno colon here\r\n\r\n",
        "a length that is no number": b"POST /v1/list_tools HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n{}",
    }
    for what, content in wrong.items():
        refused(await exchange(probe.wire, what, content), 400, "bad_request")
    return f"400 for {', '.join(wrong)}"


@check(
    promise=10,
    expected="431 headers_too_large for each",
    remedy="The server must bound the size of the URL and of the headers (ServeConfig.max_header_bytes).",
)
async def large_headers_are_refused(probe: Probe) -> str:
    """Sends a header and a URL of 70,000 characters."""
    header = request_bytes(probe.wire, "GET", "/livez", headers={"X-Long": "a" * _LONG})
    refused(await exchange(probe.wire, "GET /livez with a long header", header), 431, "headers_too_large")
    url = request_bytes(probe.wire, "GET", f"/v1/tasks?split={'a' * _LONG}")
    refused(await exchange(probe.wire, "GET with a long URL", url), 431, "headers_too_large")
    return f"431 for {_LONG} characters"


@check(
    promise=10,
    expected="408 request_timeout",
    remedy="The server must not wait for ever for the rest of a request (ServeConfig.request_timeout_s).",
    is_slow=True,
)
async def slow_requests_are_ended(probe: Probe) -> str:
    """Sends half of a request and waits."""
    half = request_bytes(probe.wire, "POST", "/v1/list_tools", b"{", {"Content-Length": "2"})
    limit_s = max(_SLOW_WITHIN_S, probe.wire.timeout_s)
    reply = await exchange(probe.wire, "half of a POST /v1/list_tools", half, timeout_s=limit_s)
    refused(reply, 408, "request_timeout")
    return f"408 after {reply.seconds:.1f} s"
