"""Whatever a body holds, the answer is a 200 or a refusal with the one error body, soon, and nothing is left behind."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .wire import Reply

MESSAGES = [{"role": "user", "content": "Question?"}, {"role": "assistant", "content": None, "tool_calls": []}]
VALID: dict[str, dict[str, Any]] = {
    "start_rollout": {"rollout_id": "fuzz", "messages": MESSAGES, "ground_truth": {"a": [1]}, "seed": 3},
    "fork_rollout": {"rollout_id": "fuzz", "new_rollout_id": "fuzz-2"},
    "list_tools": {"rollout_id": "fuzz"},
    "run_tool": {"rollout_id": "fuzz", "call_id": "c", "tool_name": "echo", "arguments": {"text": "x"}, "timeout_s": 5},
    "compute_reward": {"rollout_id": "fuzz", "completion": MESSAGES, "ground_truth": "it"},
    "compute_group_reward": {"group_id": "g", "members": [{"rollout_id": "fuzz", "completion": "it"}]},
    "cancel": {"rollout_id": "fuzz", "call_id": "c"},
    "end_rollout": {"rollout_id": "fuzz"},
}
VALID["batch"] = {"calls": [{"id": verb, "verb": verb, "body": body} for verb, body in VALID.items()]}
FUZZ = settings(
    max_examples=50, deadline=5000, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["fuzz", "echo"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn, verb: str) -> Any:
    """A valid body of this verb with one to three fields, at any depth, taken out, replaced or added."""
    body: Any = json.loads(json.dumps(VALID[verb]))
    for _ in range(draw(st.integers(1, 3))):
        place = body
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys)) if keys else None
            if key is None or not isinstance(place[key], dict | list) or draw(st.booleans()):
                break
            place = place[key]
        match draw(st.integers(0, 3)):
            case 0 if key is not None:
                del place[key]
            case 1 if isinstance(place, dict):
                place[draw(st.text(max_size=8))] = draw(values)
            case _ if key is not None:
                place[key] = draw(values)
            case _:
                pass
    return body


class Prober:
    """Sends bodies, checks each answer, and ends what it started.

    Ids that begin with `fuzz` are others after each `fresh`, so that no example meets the spent ids of another.
    """

    _numbers = itertools.count()

    def __init__(self, target) -> None:
        self.last = Reply(0, {}, b"")
        self._target = target
        self._number = 0
        self._http = httpx.Client(base_url=target.url, timeout=10)
        self._begun: set[str] = set()

    def fresh(self) -> None:
        """A started rollout `fuzz`."""
        self._number = next(self._numbers)
        assert self.probe("start_rollout", json.dumps(VALID["start_rollout"]).encode()) == 200

    def probe(self, verb: str, body: bytes) -> int:
        """The status of the answer, which has been checked."""
        body = body.replace(b'"fuzz', b'"fuzz%d' % self._number)
        answer = self._http.post(f"/v1/{verb}", content=body, headers={"content-type": "application/json"})
        if answer.headers["content-type"] == "application/x-ndjson":
            lines = [orjson.loads(line) for line in answer.content.splitlines()]
            assert sorted(line["id"] for line in lines) == sorted(call["id"] for call in orjson.loads(body)["calls"])
            for line in lines:
                self._check(Reply(line["status"], {"content-type": "application/json"}, orjson.dumps(line["body"])))
        else:
            self._check(Reply(answer.status_code, dict(answer.headers), answer.content))
        return answer.status_code

    def _check(self, reply: Reply) -> None:
        self.last = reply
        if reply.status == 200:
            if "token" in reply.json:
                self._begun.add(reply.json["rollout_id"])
        elif reply.status >= 500:
            assert reply.error in ((501, "unsupported"), (504, "timeout"))
        else:
            assert 400 <= reply.error[0] < 500

    def close(self) -> None:
        """Ends what was started; then nothing may be left."""
        for rollout_id in self._begun:
            self._http.post("/v1/end_rollout", json={"rollout_id": rollout_id})
        self._http.close()
        assert self._target.env.open == set()
        assert self._target.open_rollouts() == 0


@pytest.fixture
def prober(target):
    """A prober of the server."""
    prober = Prober(target)
    yield prober
    prober.close()


@pytest.mark.parametrize("verb", VALID)
def test_any_json_is_answered(prober, verb):
    @FUZZ
    @given(values)
    def any_json(value):
        prober.fresh()
        prober.probe(verb, json.dumps(value).encode())

    any_json()


@pytest.mark.parametrize("verb", VALID)
def test_any_bytes_are_answered(prober, verb):
    whole = json.dumps(VALID[verb]).encode()

    @FUZZ
    @given(st.binary(max_size=60), st.integers(0, len(whole)), st.integers(0, len(whole)))
    def any_bytes(some, first, last):
        prober.fresh()
        assert prober.probe(verb, b"\x00" + some) == 422
        prober.probe(verb, whole[:first] + some + whole[last:])

    any_bytes()


@pytest.mark.parametrize("verb", VALID)
def test_almost_right_requests_are_answered(prober, verb):
    @FUZZ
    @given(mutated(verb))
    def almost_right(body):
        prober.fresh()
        prober.probe(verb, json.dumps(body).encode())

    almost_right()


def test_any_query_is_answered(target):
    names = st.sampled_from(["split", "offset", "limit", "x"])

    with httpx.Client(base_url=target.url, timeout=10) as http:

        @FUZZ
        @given(st.dictionaries(names, st.text() | st.integers().map(str)))
        def any_query(query):
            answer = http.get("/v1/tasks", params=query)
            if answer.status_code != 200:
                assert Reply(answer.status_code, dict(answer.headers), answer.content).error[0] in (404, 422)

        any_query()


def run_tool(arguments: bytes, tool_name: bytes = b'"echo"', rest: bytes = b"") -> tuple[str, bytes]:
    body = b'{"rollout_id":"fuzz","call_id":"c","tool_name":%s,"arguments":%s%s}' % (tool_name, arguments, rest)
    return "run_tool", body


def end(rollout_id: str) -> tuple[str, bytes]:
    return "end_rollout", json.dumps({"rollout_id": rollout_id}).encode()


REFUSED = {
    "nothing": ("end_rollout", b""),
    "only a space": ("end_rollout", b" "),
    "a list": ("end_rollout", b"[]"),
    "two bodies": ("end_rollout", b'{"rollout_id":"a"}{"rollout_id":"b"}'),
    "a byte order mark": ("end_rollout", b'\xef\xbb\xbf{"rollout_id":"a"}'),
    "UTF-16": ("end_rollout", '{"rollout_id":"a"}'.encode("utf-16")),
    "lists 100,000 deep": run_tool(b'{"text":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "objects 100,000 deep": run_tool(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "lists that never end": run_tool(b"[" * 1_000_000),
    "1e400": run_tool(b'{"text":"x"}', rest=b',"timeout_s":1e400'),
    "a deadline of an integer of 400 digits": run_tool(b'{"text":"x"}', rest=b',"timeout_s":1' + b"0" * 400),
    "a seed of 400 digits": ("start_rollout", b'{"rollout_id":"a","task_id":"a","seed":1%s}' % (b"0" * 400)),
    "an index of 400 digits": ("start_rollout", b'{"rollout_id":"a","split":"train","index":1%s}' % (b"0" * 400)),
    "NaN": run_tool(b'{"text":"x"}', rest=b',"timeout_s":NaN'),
    "NaN in an argument": run_tool(b'{"text":NaN}'),
    "Infinity in an argument": run_tool(b'{"text":-Infinity}'),
    "a deadline of -0.0": run_tool(b'{"text":"x"}', rest=b',"timeout_s":-0.0'),
    "invalid UTF-8 in a value": run_tool(b'{"text":"\xff\xfe"}'),
    "an overlong encoding": run_tool(b'{"text":"\xc0\xaf"}'),
    "a surrogate in UTF-8": run_tool(b'{"text":"\xed\xa0\x80"}'),
    "half a surrogate pair": run_tool(b'{"text":"\\ud800"}'),
    "half a surrogate pair as a key": run_tool(b'{"\\udfff":1}'),
    "an unknown field": run_tool(b'{"text":"x"}', rest=b',"priority":1'),
    "a tool name of 10,000 characters": run_tool(b'{"text":"x"}', b'"%s"' % (b"x" * 10_000)),
    "no tool name": run_tool(b'{"text":"x"}', b"null"),
    "arguments as a list": run_tool(b"[]"),
    "an id of 10,000 characters": end("x" * 10_000),
    "an id with a newline": end("a\nb"),
    "an id with a newline at its end": end("a\n"),
    "an id with NUL": end("a\0"),
    "an id with a slash": end("../a"),
    "an id that is empty": end(""),
    "an id of other letters": end("ａｂｃ"),
    "an id of other digits": end("١٢٣"),
    "an id that is a number": ("end_rollout", b'{"rollout_id":5}'),
    "a batch of nothing": ("batch", b'{"calls":[]}'),
    "a batch in a batch": ("batch", b'{"calls":[{"id":"a","verb":"batch","body":{"calls":[]}}]}'),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_body_that_does_not_fit_is_422(target, what):
    verb, body = REFUSED[what]
    assert target.post(verb, body).error == (422, "invalid_request")


def many(item: bytes) -> bytes:
    """A list of these that nearly fills the largest body that the server reads."""
    return b"[" + b",".join([item] * (4 * 10**6 // (len(item) + 1))) + b"]"


UNKNOWN_FIELDS = b"{" + b",".join(b'"%d":1' % number for number in range(350_000)) + b"}"
WRONG_ITEMS = {
    "arguments": lambda: run_tool(b'{"numbers":%s}' % many(b'"a"'), b'"add"'),
    "a batch": lambda: ("batch", b'{"calls":%s}' % many(b"{}")),
    "a completion": lambda: ("compute_reward", b'{"rollout_id":"fuzz","completion":%s}' % many(b"{}")),
    "messages": lambda: ("start_rollout", b'{"rollout_id":"fuzz-2","messages":%s}' % many(b"[]")),
    "calls of a message": lambda: (
        "compute_reward",
        b'{"rollout_id":"fuzz","completion":[{"role":"assistant","tool_calls":%s}]}' % many(b"0"),
    ),
    "members": lambda: ("compute_group_reward", b'{"group_id":"g","members":%s}' % many(b"{}")),
    "unknown fields": lambda: ("end_rollout", UNKNOWN_FIELDS),
    "unknown fields of a member": lambda: ("compute_group_reward", b'{"group_id":"g","members":[%s]}' % UNKNOWN_FIELDS),
}


@pytest.mark.parametrize("where", WRONG_ITEMS)
def test_a_body_full_of_wrong_items_is_refused_soon(prober, where):
    prober.fresh()
    verb, body = WRONG_ITEMS[where]()
    began = time.monotonic()
    status = prober.probe(verb, body)
    took_s = time.monotonic() - began
    assert status == (200 if where == "arguments" else 422)
    assert took_s < 2.0


TOOL_ERRORS = {
    "a slash": b'"echo/../echo"',
    "NUL": b'"echo\\u0000"',
    "another alphabet": '"éсhо"'.encode(),
    "nothing in it": b'""',
    "a dunder": b'"__init__"',
    "a method of the environment that is no tool": b'"end_rollout"',
}


@pytest.mark.parametrize("name", TOOL_ERRORS)
def test_an_unknown_tool_is_the_models_error_whatever_its_name(prober, name):
    prober.fresh()
    assert prober.probe(*run_tool(b'{"text":"x"}', TOOL_ERRORS[name])) == 200
    assert (prober.last.json["outcome"], prober.last.json["trainable"]) == ("tool_error", True)


@pytest.mark.parametrize(
    "number", [b"1e400", b"-1e400", b"1" + b"0" * 400, b"-0.0", b"1" + b"0" * 18, b"2" + b"0" * 19]
)
def test_a_number_beyond_a_float_in_an_argument_harms_nothing(prober, number):
    prober.fresh()
    status = prober.probe(*run_tool(b'{"text":%s}' % number))
    assert status == 422 or (status, prober.last.json["outcome"]) == (200, "tool_error")


def test_a_field_given_twice_counts_once(prober):
    prober.fresh()
    assert prober.probe("end_rollout", b'{"rollout_id":"nobody","rollout_id":"fuzz"}') in (200, 422)
