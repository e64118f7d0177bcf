"""One error body: whatever comes, it is refused by its exact status, in one form, and the server goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import good, refused

if TYPE_CHECKING:
    from envport.check.probe import Probe

_DEEP = 2000
_VERBS = ("start_rollout", "run_tool", "compute_reward", "end_rollout", "list_tools")


@check(
    promise=10,
    expected="422 invalid_request for each",
    remedy="The server must refuse a body that is no JSON by the one error body, and not fail.",
)
async def body_that_is_no_json_is_refused(probe: Probe) -> str:
    """Sends nothing, broken JSON, half of a text, invalid UTF-8 and other values than an object."""
    bodies = [b"", b"{", b'{"rollout_id": "a', b'{"rollout_id": "\xff\xfe"}', b"[]", b"null", b'"text"', b"\x00\x01"]
    for verb in _VERBS:
        for body in bodies:
            refused(await probe.wire.send(verb, body), 422, "invalid_request")
    return f"422 for {len(bodies)} bodies of {len(_VERBS)} verbs"


@check(
    promise=10,
    expected="422 invalid_request for each",
    remedy="The server must refuse NaN, infinities and numbers beyond them: JSON has none, and they poison a batch.",
)
async def nan_is_refused(probe: Probe) -> str:
    """Sends NaN, Infinity and 1e400 in the arguments of a call, in a deadline and in a ground truth."""
    rollout = await probe.start()
    told = f'"rollout_id": "{rollout.id}"'.encode()
    for number in (b"NaN", b"Infinity", b"-Infinity", b"1e400"):
        for verb, rest in (
            ("run_tool", b'"call_id": "c", "tool_name": "t", "arguments": {"x": %b}'),
            ("run_tool", b'"call_id": "c", "tool_name": "t", "arguments": {}, "timeout_s": %b'),
            ("compute_reward", b'"completion": "An answer.", "ground_truth": %b'),
        ):
            refused(await probe.wire.send(verb, b"{%b, %b}" % (told, rest % number)), 422, "invalid_request")
    return "422 for each"


@check(
    promise=10,
    expected="422 invalid_request, and the server goes on",
    remedy="The server must bound how deep a body is nested.",
)
async def deep_nesting_is_refused(probe: Probe) -> str:
    """Sends arrays and objects nested two thousand deep."""
    rollout = await probe.start()
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        nested = opening * _DEEP + b"1" + closing * _DEEP
        body = b'{"rollout_id": "%b", "call_id": "c", "tool_name": "t", "arguments": {"x": %b}}'
        refused(await probe.wire.send("run_tool", body % (rollout.id.encode(), nested)), 422, "invalid_request")
    good(await rollout.list_tools())
    return f"422 for {_DEEP} levels"


@check(
    promise=10,
    expected="422 invalid_request for each",
    remedy="The server must refuse messages that miss a field, have one of another type, or name a task in two ways.",
)
async def misshapen_messages_are_refused(probe: Probe) -> str:
    """Sends messages without their fields, with fields of other types, and contradictory ones."""
    rollout_id = probe.new_id()
    wrong: list[tuple[str, dict[str, Any]]] = [
        *((verb, {}) for verb in _VERBS if verb != "list_tools"),
        ("start_rollout", {"rollout_id": rollout_id}),
        ("start_rollout", {"rollout_id": rollout_id, "split": "train"}),
        ("start_rollout", {"rollout_id": rollout_id, "split": "train", "index": -1}),
        ("start_rollout", {"rollout_id": rollout_id, "split": "train", "index": 0, "task_id": "a"}),
        ("start_rollout", {"rollout_id": rollout_id, "messages": [{"role": "nobody", "content": "a"}]}),
        ("start_rollout", {"rollout_id": rollout_id, "messages": "text"}),
        ("run_tool", {"rollout_id": rollout_id, "call_id": "c", "tool_name": "t", "arguments": []}),
        ("run_tool", {"rollout_id": rollout_id, "call_id": "c", "tool_name": 1}),
        ("run_tool", {"rollout_id": rollout_id, "call_id": "c", "tool_name": "t" * 10_000}),
        ("compute_reward", {"rollout_id": rollout_id, "completion": 1}),
    ]
    for verb, body in wrong:
        refused(await probe.wire.post(verb, body), 422, "invalid_request")
    for query in ("", "?split=train&limit=0", "?split=train&limit=1001", "?split=train&offset=-1", "?split=train&x=1"):
        refused(await probe.wire.get(f"/v1/tasks{query}"), 422, "invalid_request")
    return f"422 for {len(wrong)} messages, and for queries"


@check(
    promise=10,
    expected="422 invalid_request for each",
    remedy="The server must take ids of 1 to 128 of the characters A-Z a-z 0-9 . _ : - and no others.",
)
async def ids_of_another_form_are_refused(probe: Probe) -> str:
    """Uses ids that are empty, too long, not text, or have other characters."""
    wrong = ["", "a" * 129, "a" * 10_000, "a b", "a/b", "a\n", "é", "a\x00", "../a", 1, None, ["a"]]
    for bad_id in wrong:
        refused(await probe.wire.post("start_rollout", {**probe.task(), "rollout_id": bad_id}), 422, "invalid_request")
        body = {"rollout_id": probe.new_id(), "call_id": bad_id, "tool_name": "t"}
        refused(await probe.wire.post("run_tool", body), 422, "invalid_request")
    longest = probe.new_id() + "." + "a" * 128
    good(await probe.ask_start({**probe.start_body(), "rollout_id": longest[:128]}))
    return f"422 for {len(wrong)} ids, and one of 128 characters works"


@check(
    promise=10,
    expected="a line with 422 for each wrong call, with the one error body, and 200 for the good ones",
    remedy="A wrong call of a batch must fail in its own line and leave the others alone.",
)
async def fault_in_a_batch_stays_in_its_line(probe: Probe) -> str:
    """Sends a batch of good and wrong calls, two of them with one id."""
    probe.needs("batch")
    rollout = await probe.start()
    calls: list[dict[str, Any]] = [
        {"id": "good", "verb": "list_tools", "body": {"rollout_id": rollout.id}},
        {"id": "no-fields", "verb": "run_tool", "body": {}},
        {"id": "bad-id", "verb": "run_tool", "body": {"rollout_id": "a b", "call_id": "c", "tool_name": "t"}},
        {"id": "no-such-field", "verb": "end_rollout", "body": {"rollout_id": rollout.id, "field_of_tomorrow": 1}},
    ]
    calls += [{"id": "twice", "verb": "list_tools", "body": {}}] * 2
    seen: dict[str, list[int]] = {}
    async for _, line in probe.wire.batch(calls):
        seen.setdefault(line["id"], []).append(line["status"])
        if line["status"] != 200 and set(line["body"]["error"]) != {
            "code",
            "message",
            "outcome",
            "trainable",
            "details",
        }:
            raise BrokenError(f"the line {line['id']!r} has the body {line['body']!r:.200}")
    wrong = {call["id"]: [422] for call in calls}
    if {name: sorted(statuses) for name, statuses in seen.items()} != {**wrong, "good": [200], "twice": [200, 422]}:
        raise BrokenError(f"statuses by call: {seen}")
    return f"statuses by call: {seen}"


@check(
    promise=10,
    expected="422 invalid_request",
    remedy="The server must bound how many calls a batch has (ServeConfig.max_batch), and refuse one without calls.",
)
async def batch_over_its_limit_is_refused(probe: Probe) -> str:
    """Sends a batch of one call more than the limit, and one without calls."""
    probe.needs("batch")
    most = probe.limits.get("max_batch")
    if not isinstance(most, int):
        raise NotApplicableError("the manifest tells no limits.max_batch")
    calls = [{"id": str(number), "verb": "list_tools", "body": {}} for number in range(most + 1)]
    bodies: list[dict[str, Any]] = [{"calls": calls}, {"calls": []}, {}]
    for body in bodies:
        refused(await probe.wire.post("batch", body), 422, "invalid_request")
    return f"422 for {most + 1} calls, and for none"
