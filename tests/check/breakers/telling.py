"""Servers that do not say truly what they are and hold, or refuse in other words than the one error body."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..environments import TallyEnv
from ..tampering import Answer, Breaker, failure, simply, told
from .answering import on_answer
from .waiting import limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tampering import Ask, Broken, Request

HTML = Answer(400, {"content-type": "text/html"}, b"<html><body>Bad Request</body></html>")


def manifest(**values: Any) -> Callable[[], Broken]:
    return on_answer("manifest", lambda answer: answer.but(**values))


def where(is_so: Callable[[Request], bool], instead: Answer) -> Callable[[], Broken]:
    """Such requests get another answer."""

    async def broken(ask: Ask, request: Request) -> Answer:
        return instead if is_so(request) else await ask(request)

    return simply(broken)


def read_as(change: Callable[[Request], Request]) -> Callable[[], Broken]:
    """Requests are read as something else."""

    async def broken(ask: Ask, request: Request) -> Answer:
        return await ask(change(request))

    return simply(broken)


def draws_tasks_anew() -> Broken:
    readings: Counter[str] = Counter()

    def drawn(answer: Answer) -> Answer:
        readings["tasks"] += 1
        return answer.but(tasks=[{**task, "metadata": {"reading": readings["tasks"]}} for task in answer.json["tasks"]])

    return on_answer("tasks", drawn)()


def with_tasks(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[[], Broken]:
    return on_answer("tasks", lambda answer: answer.but(tasks=change(answer.json["tasks"])))


def ids_twice(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*tasks[:1], *({**task, "task_id": "same"} for task in tasks[1:3]), *tasks[3:]]


async def turns_pages_wrongly(ask: Ask, request: Request) -> Answer:
    if request.verb == "tasks":
        request = replace(request, query=re.sub(rb"offset=50\b", b"offset=51", request.query))
        answer = await ask(request)
        return answer.but(offset=50) if b"offset=51" in request.query else answer
    return await ask(request)


async def finds_another_task(ask: Ask, request: Request) -> Answer:
    answer = await ask(request)
    if request.verb == "start_rollout" and "task_id" in request.json and answer.status == 200:
        return answer.but(messages=[{"role": "user", "content": "Another question."}])
    return answer


async def lists_fewer_tools(ask: Ask, request: Request) -> Answer:
    answer = await ask(request)
    if request.verb == "list_tools" and "rollout_id" in request.json and answer.status == 200:
        return answer.but(tools=answer.json["tools"][1:])
    return answer


def with_bad_schema(answer: Answer) -> Answer:
    first, *others = answer.json["tools"]
    return answer.but(tools=[{**first, "parameters": {"type": "objekt"}}, *others])


def describes_otherwise(answer: Answer) -> Answer:
    document = answer.json
    document["components"]["schemas"]["ListToolsAnswer"]["required"] = ["tools", "more"]
    return answer.saying(document)


async def speaks_no_mcp(ask: Ask, request: Request) -> Answer:
    if request.json.get("method") == "initialize":
        return told(200, {"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-06-18", "capabilities": {}}})
    return await ask(request)


async def hides_tools_from_mcp(ask: Ask, request: Request) -> Answer:
    answer = await ask(request)
    if request.json.get("method") == "tools/list":
        return answer.but(result={"tools": answer.json["result"]["tools"][1:]})
    return answer


def answering_html(protocol: type[Any]) -> type[Any]:
    """What is not HTTP is refused in HTML."""

    class HtmlProtocol(protocol):
        def _refuse(self, error: Any) -> None:
            if error.status != 400:
                super()._refuse(error)
                return
            self.transport.write(
                b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nBad!"
            )
            self.transport.close()

    return HtmlProtocol


async def fails_whole_batches(ask: Ask, request: Request) -> Answer:
    answer = await ask(request)
    return failure(422, "invalid_request") if b'"status":422' in answer.body else answer


def with_headers(change: Callable[[Request, Answer], Answer]) -> Callable[[], Broken]:
    async def broken(ask: Ask, request: Request) -> Answer:
        return change(request, await ask(request))

    return simply(broken)


def repeats_any_id(request: Request, answer: Answer) -> Answer:
    given = request.headers.get("x-request-id")
    return answer.named(x_request_id=given) if given else answer


async def is_slow_to_say_that_it_lives(ask: Ask, request: Request) -> Answer:
    await asyncio.sleep(1.2)
    return await ask(request)


def in_metrics(pattern: bytes, instead: bytes) -> Callable[[], Broken]:
    async def broken(ask: Ask, request: Request) -> Answer:
        answer = await ask(request)
        return replace(answer, body=re.sub(pattern, instead, answer.body))

    return simply(broken)


class UnforkableEnv(TallyEnv):
    deterministic = False
    get_state = TallyEnv.__base__.get_state
    set_state = TallyEnv.__base__.set_state


TELLING = {
    "protocol_range_is_sane": Breaker(manifest(protocol={"min": "3.0", "max": "1.1"})),
    "manifest_says_what_is_served": Breaker(manifest(digest="sha256:abc")),
    "unknown_request_fields_are_refused": Breaker(
        read_as(lambda request: request.without("field_of_tomorrow") if request.json else request)
    ),
    "later_protocols_are_not_found": Breaker(
        read_as(lambda request: request.at("/v1/manifest")), paths=("/v2/", "/v99/")
    ),
    "answers_fit_the_openapi_document": Breaker(
        with_headers(lambda _, answer: describes_otherwise(answer)), paths=("/openapi.json",)
    ),
    "tasks_stay_the_same": Breaker(draws_tasks_anew, also=frozenset({"pages_of_tasks_join"})),
    "task_ids_are_unique": Breaker(with_tasks(ids_twice), also=frozenset({"pages_of_tasks_join"})),
    "pages_of_tasks_join": Breaker(simply(turns_pages_wrongly)),
    "task_is_the_same_by_id_and_by_index": Breaker(simply(finds_another_task)),
    "unknown_tasks_are_not_found": Breaker(on_answer("tasks", lambda _: failure(404, "not_found"), status=404)),
    "tools_are_those_of_the_manifest": Breaker(simply(lists_fewer_tools)),
    "tool_schemas_are_valid": Breaker(
        on_answer("manifest", with_bad_schema), also=frozenset({"tools_are_those_of_the_manifest"})
    ),
    "mcp_initializes": Breaker(simply(speaks_no_mcp), paths=("/mcp",)),
    "mcp_lists_the_same_tools": Breaker(simply(hides_tools_from_mcp), paths=("/mcp",)),
    "body_that_is_no_json_is_refused": Breaker(where(lambda request: request.body == b"null", HTML)),
    "nan_is_refused": Breaker(read_as(lambda request: replace(request, body=request.body.replace(b"NaN", b"0")))),
    "deep_nesting_is_refused": Breaker(
        where(lambda request: request.body.count(b"[") > 1000, failure(500, "infra_error"))
    ),
    "too_large_bodies_are_refused": Breaker(limits(max_body_bytes=1000), config={"request_timeout_s": 0.5}),
    "misshapen_messages_are_refused": Breaker(
        where(lambda request: request.json.get("messages") == "text", failure(500, "infra_error"))
    ),
    "ids_of_another_form_are_refused": Breaker(
        read_as(lambda request: replace(request, body=request.body.replace(b'"a b"', b'"a"'))),
        paths=("/v1/start_rollout",),
    ),
    "unknown_paths_are_not_found": Breaker(where(lambda _: True, replace(HTML, status=404)), paths=("/docs",)),
    "wrong_methods_are_refused": Breaker(
        where(lambda request: request.method == "DELETE", failure(405, "method_not_allowed"))
    ),
    "other_content_types_are_refused": Breaker(read_as(lambda request: request.named(content_type="application/json"))),
    "malformed_http_is_refused": Breaker(protocol=answering_html),
    "large_headers_are_refused": Breaker(config={"max_header_bytes": 2**20}),
    "slow_requests_are_ended": Breaker(config={"request_timeout_s": 600.0}, timeout_s=2.0),
    "fault_in_a_batch_stays_in_its_line": Breaker(simply(fails_whole_batches), paths=("/v1/batch",)),
    "batch_over_its_limit_is_refused": Breaker(limits(max_batch=10)),
    "fork_is_refused_where_there_is_none": Breaker(
        on_answer("fork_rollout", lambda _: failure(500, "infra_error"), status=501), env=UnforkableEnv
    ),
    "request_id_comes_back": Breaker(
        with_headers(lambda _, answer: answer.named(x_request_id=uuid4().hex)), paths=("/",)
    ),
    "request_id_is_made_where_missing": Breaker(with_headers(repeats_any_id), paths=("/livez",)),
    "traceparent_is_taken": Breaker(
        where(lambda request: request.headers.get("traceparent") == "none", failure(400, "bad_request"))
    ),
    "log_lines_name_their_request": Breaker(launches={}, told="a line about some request", is_told_alone=True),
    "metrics_can_be_scraped": Breaker(in_metrics(rb"\nenvport_rollouts_queued [^\n]*", b""), paths=("/metrics",)),
    "metrics_count_what_was_asked": Breaker(
        in_metrics(rb'(\nenvport_requests_total\{status="422",verb="run_tool"\}) [^\n]*', rb"\1 1.0"),
        paths=("/metrics",),
    ),
    "livez_answers_while_all_else_runs": Breaker(
        simply(is_slow_to_say_that_it_lives), paths=("/livez",), is_told_alone=True
    ),
}
