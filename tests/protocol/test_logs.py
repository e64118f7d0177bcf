"""The log: its two forms, what no client can forge in it, what never stands in it, and what is written when."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import threading
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from envport_protocol import BaseEnv, ToolError
from envport_protocol.calling import invoke
from envport_protocol.config import ServeConfig, Tokens
from envport_protocol.hosting.rollout_key import RolloutKey
from envport_protocol.messages import Outcome
from envport_protocol.server import event_log
from envport_protocol.server.event_log import EventLog
from envport_protocol.server.logs import REDACTED, configure_logging, secrets_of
from envport_protocol.server.request_ids import request_id, traceparent

TOKENS = {scope: f'the "{scope}" is here \\ {scope}' for scope in ("trainer", "agent", "admin")}
ROLLOUT_SECRET = "the-key-of-all-rollouts-of-this-server"
CONFIG = ServeConfig(tokens=Tokens.model_validate(TOKENS), rollout_secret=ROLLOUT_SECRET, call_timeout_s=5)
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
log = logging.getLogger("envport.protocol")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_it_was():
    loggers = [logging.getLogger(name) for name in (None, "envport", "httpx", "mcp", "uvicorn.error")]
    before = [(logger, logger.level, [*logger.handlers]) for logger in loggers]
    yield
    logging.captureWarnings(False)
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@contextmanager
def request(asked_by: str | None, parent: str | None = None):
    tokens = request_id.set(asked_by), traceparent.set(parent)
    yield
    request_id.reset(tokens[0])
    traceparent.reset(tokens[1])


def written(log_format="json", level="debug", secrets=()) -> io.StringIO:
    """What is logged from now on."""
    stream = io.StringIO()
    logging.getLogger().handlers.clear()  # those of pytest raise where a line is wrong
    configure_logging(log_format, level, secrets=secrets, stream=stream)
    return stream


def objects(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_json_object():
    stream = written()
    before = datetime.now(UTC)
    with request("request-1", f"00-{TRACE_ID}-{SPAN_ID}-01"):
        log.warning("%d of %s", 3, "ñ", extra={"seconds": 0.25, "tool": None, "path": {"a": 1}, "level": "mine"})
    (fields,) = objects(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(fields["ts"]))
    assert 0 <= (datetime.fromisoformat(str(fields.pop("ts"))) - before).total_seconds() + 0.001 < 5
    assert fields.pop("pid") == log.makeRecord("", 0, "", 0, "", (), None).process
    assert fields == {
        "level": "WARNING",
        "logger": "envport.protocol",
        "message": "3 of ñ",
        "request_id": "request-1",
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "seconds": 0.25,
        "tool": None,
        "path": "{'a': 1}",
        "extra_level": "mine",
    }


def test_a_record_without_a_request_has_no_fields_of_one():
    stream = written()
    with request(None, "00-" + "0" * 32 + f"-{SPAN_ID}-01"):
        log.info("x", extra={"share": float("nan")})
    assert sorted(objects(stream)[0]) == ["level", "logger", "message", "pid", "share", "ts"]
    assert objects(stream)[0]["share"] == "nan"


def test_an_exception_is_one_string():
    stream = written()
    try:
        raise ValueError("one\ntwo")
    except ValueError:
        log.exception("failed")
    (fields,) = objects(stream)
    assert str(fields["exception"]).startswith("Traceback (most recent call last):\n")
    assert str(fields["exception"]).endswith("ValueError: one\ntwo")


def test_a_person_reads_one_line():
    stream = written("text")
    with request("trainer-7-000000000042"):
        log.warning("3 of 4")
    log.info("no request")
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} WARNING 3 of 4  \[000000000042\]\n\d\d:\d\d:\d\d\.\d{3} INFO    no request\n",
        stream.getvalue(),
    )


def test_the_form_follows_the_terminal():
    for stream, is_json in ((Terminal(), False), (io.StringIO(), True)):
        configure_logging("auto", "info", stream=stream)
        log.info("x")
        assert stream.getvalue().startswith("{") is is_json


HOSTILE = (
    "look\n12:00:00.000 ERROR   forged\r\x1b[2J\x1b]0;title\x07\x9b31m\x7f\x00\u2028\u2029\u0085\u202eetisoppo\ud800"
)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_client_can_forge_a_line_or_move_the_cursor(log_format):
    stream = written(log_format)
    with request(HOSTILE, HOSTILE):
        log.info("tool %s", HOSTILE, extra={HOSTILE: HOSTILE})
        log.info(HOSTILE)
    text = stream.getvalue()
    assert len(text.splitlines()) == 2
    assert all(char.isprintable() for char in text.replace("\n", ""))
    assert all("forged" in line and not line.startswith("12:00:00.000") for line in text.splitlines())
    if log_format == "json":
        assert objects(stream)[1]["message"] == HOSTILE


def test_no_exception_can_forge_a_line_for_a_person():
    stream = written("text")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("failed")
    first, *rest = stream.getvalue().split("\n")[:-1]
    assert first.endswith("ERROR   failed")
    assert [line for line in rest if not line.startswith("    ")] == []
    assert all(char.isprintable() for line in rest for char in line)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_are_taken_out_wherever_they_stand(log_format):
    stream = written(log_format, secrets=secrets_of(CONFIG))
    token = RolloutKey(ROLLOUT_SECRET.encode()).token("r1")
    shown = [*TOKENS.values(), ROLLOUT_SECRET, token, "Bearer of-another-server"]
    for secret in shown:
        log.info("message %s", secret)
        log.info(
            "%s %r %s", "arguments", secret, json.dumps({"token": secret}), extra={"given": secret, "at": [secret]}
        )
        log.info({"as": secret}, stack_info=True)
        try:
            raise ValueError(secret)
        except ValueError:
            log.exception("failed")
    text = stream.getvalue()
    assert text.count(REDACTED) >= 5 * len(shown)
    hidden = ["trainer", "agent", "admin", "the-key-of", token[:20], "another-server"]
    assert [line for line in text.splitlines() for secret in hidden if secret in line] == []


def test_a_wrong_log_line_fails_nobody():
    class Silent:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    stream = written()
    log.info("%d calls", "many")
    log.info("%s", Silent(), extra={"who": Silent()})
    assert [fields["message"] for fields in objects(stream)] == [
        "%d calls (its arguments do not fit: TypeError)",
        "%s (its arguments do not fit: RuntimeError)",
    ]
    assert objects(stream)[1]["who"] == "Silent without a text: RuntimeError"


def test_a_level_holds_for_this_project_and_hides_the_debugging_of_others():
    stream = written(level="debug")
    logging.getLogger("envport.protocol").debug("ours")
    for name in ("httpcore", "their_env"):
        logging.getLogger(name).debug("theirs")
    logging.getLogger("their_env").info("said by the author")
    logging.getLogger("httpx").info("a line for each call")
    logging.getLogger("httpx").warning("worth it")
    assert [fields["message"] for fields in objects(stream)] == ["ours", "said by the author", "worth it"]
    stream = written(level="warning")
    log.info("start")
    logging.getLogger("their_env").info("said by the author")
    assert stream.getvalue() == ""


def test_a_second_configuration_replaces_the_first():
    first, second = written(), written()
    log.info("x")
    assert (first.getvalue(), len(objects(second))) == ("", 1)


def test_warnings_and_uvicorn_go_the_same_way():
    stream = written()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", stacklevel=1)
    logging.getLogger("uvicorn.error").warning("odd request", extra={"color_message": "odd"})
    assert [(fields["logger"], fields["level"]) for fields in objects(stream)] == [
        ("py.warnings", "WARNING"),
        ("uvicorn.error", "WARNING"),
    ]
    assert "color_message" not in objects(stream)[1]


async def test_what_the_author_logs_in_a_thread_has_the_request():
    def look() -> None:
        assert threading.current_thread() is not threading.main_thread()
        logging.getLogger("their_env").warning("from a thread")

    stream = written()
    with request("request-2", f"00-{TRACE_ID}-{SPAN_ID}-01"):
        await invoke(look, {})
    (fields,) = objects(stream)
    assert (fields["request_id"], fields["trace_id"]) == ("request-2", TRACE_ID)


def told(stream: io.StringIO) -> list[tuple[object, object]]:
    return [(fields["level"], fields["message"]) for fields in objects(stream)]


def test_failures_are_warnings_and_calls_are_debugging():
    events = EventLog()
    stream = written(level="debug")
    events.executed("run_tool", "search", Outcome.OK, 0.0123)
    events.executed("compute_reward", None, Outcome.ENV_ERROR, 1)
    events.executed("run_tool", "search", Outcome.TIMEOUT, 60)
    events.answered("run_tool", 200, 0.0124)
    events.expired(2)
    assert told(stream) == [
        ("DEBUG", "run_tool search ran for 0.012 s: ok"),
        ("WARNING", "compute_reward ran for 1.000 s: env_error"),
        ("WARNING", "run_tool search ran for 60.000 s: timeout"),
        ("DEBUG", "run_tool was answered 200 after 0.012 s"),
        (
            "WARNING",
            "ended for idling: 2 rollouts; their trainer went away, or pauses for longer than the idle timeout",
        ),
    ]
    assert objects(stream)[2] | {"ts": 0, "pid": 0} == {
        "ts": 0,
        "level": "WARNING",
        "logger": "envport.protocol",
        "pid": 0,
        "message": "run_tool search ran for 60.000 s: timeout",
        "verb": "run_tool",
        "tool": "search",
        "outcome": "timeout",
        "seconds": 60,
    }
    stream = written(level="info")
    events.executed("run_tool", "search", Outcome.TOOL_ERROR, 0.1)
    events.answered("run_tool", 200, 0.1)
    assert stream.getvalue() == ""


async def test_a_flood_of_refusals_is_a_line_now_and_one_later(monkeypatch):
    monkeypatch.setattr(event_log, "AT_MOST_EVERY_S", 0.05)
    events, stream = EventLog(), written(level="warning")
    with request("the-first"):
        for _ in range(1000):
            events.answered("start_rollout", 503, 0.1)
    assert len(objects(stream)) == 1
    async with asyncio.timeout(5):
        while len(objects(stream)) < 2:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.15)
    first, second = objects(stream)
    assert (first["refused"], first["request_id"]) == (1, "the-first")
    assert (second["refused"], second.get("request_id")) == (999, None)
    events.answered("start_rollout", 503, 0.1)
    assert objects(stream)[2]["message"] == "answered 503: 1 requests; the server is still starting, or full"


class Vault(BaseEnv):
    """Every kind of failure, each beside a secret."""

    def list_tools(self):
        return [{"name": name, "parameters": {}} for name in ("look", "refuse", "hang", "crash")]

    async def run_tool(self, rollout_id: str, tool_name: str):
        if tool_name == "refuse":
            raise ToolError("no")
        if tool_name == "hang":
            await asyncio.Event().wait()
        return {"crash": 1 / (tool_name != "crash")}

    def start_rollout(self, rollout_id: str, ground_truth: str):
        logging.getLogger("their_env").info("started by the author")

    def compute_reward(self, completion: str, ground_truth: str):
        if completion == "crash":
            raise RuntimeError("not scored")
        return {"correctness": float(completion == ground_truth)}


class Raw(logging.Handler):
    """All of each record of the server's threads, as it was before anything was taken out."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != threading.main_thread().ident:
            failure = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
            self.texts.append(f"{record.getMessage()} {vars(record)} {failure}")


def test_no_token_no_truth_and_no_header_is_logged_in_a_whole_session(api):
    stream = written(level="debug")
    raw = Raw()
    logging.getLogger().handlers.insert(0, raw)
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger("their_env").setLevel(logging.INFO)
    vault = api(Vault(), CONFIG)
    vault.http.headers["Authorization"] = f"Bearer {TOKENS['trainer']}"
    token = vault.start("r1", messages=[{"role": "user", "content": "q"}], ground_truth="truth-hush").json()["token"]
    statuses = [
        vault.start("r1", messages=[{"role": "user", "content": "q"}], ground_truth="truth-hush-2").status_code,
        vault.start("r 1", messages=[{"role": "user", "content": "q"}], ground_truth=["truth-hush"]).status_code,
        vault.http.post("/v1/start_rollout", content=b'{"ground_truth": "truth-hush"').status_code,
        *(vault.run_tool(tool, f"c-{tool}", argument="argument-hush").status_code for tool in ("look", "unheard")),
        *(vault.run_tool(tool, f"d-{tool}").status_code for tool in ("look", "refuse", "crash")),
        vault.post("run_tool", rollout_id="r1", call_id="e", tool_name="hang", timeout_s=0.05).status_code,
        vault.score("truth-hush").status_code,
        vault.score("crash").status_code,
        vault.start("r2", messages=[{"role": "user", "content": "q"}], ground_truth="truth-hush").status_code,
        vault.score("crash", "r2").status_code,
        vault.end("r2").status_code,
        vault.run_tool("look", "f", "r2").status_code,
        vault.get("/no/such").status_code,
        vault.get("/livez").status_code,
        vault.get("/readyz").status_code,
    ]
    for bearer in (token, "an-unknown-one-hush", TOKENS["agent"]):
        vault.http.headers["Authorization"] = f"Bearer {bearer}"
        statuses.append(vault.score("truth-hush").status_code)
        statuses.append(vault.get("/v1/rollouts").status_code)
    expected = [409, 422, 422, 200, 200, 200, 200, 500, 504, 200, 409, 200, 500, 200, 410, 404, 200, 200]
    assert statuses == [*expected, 403, 403, 401, 401, 403, 403]
    assert len(raw.texts) > len(statuses)
    told = "\n".join(raw.texts)
    hidden = [*TOKENS.values(), ROLLOUT_SECRET, token, token[8:20], "truth-hush", "argument-hush", "Bearer", "hush"]
    assert [secret for secret in hidden if secret in told] == []
    assert [probe for probe in ("livez", "readyz") if probe in told] == []
    fields = objects(stream)
    assert REDACTED not in stream.getvalue()
    assert {"started by the author", "tool 'crash' failed", "Vault.compute_reward failed"} <= {
        str(line["message"]) for line in fields
    }
    assert [line for line in fields if line["logger"] == "their_env" and "request_id" not in line] == []
    warned = [line["outcome"] for line in fields if line["level"] == "WARNING" and "outcome" in line]
    assert warned == ["env_error", "timeout", "env_error"]
