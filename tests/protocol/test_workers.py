"""A server of three workers, each a process, as its clients see it: one server, whatever connection they have."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import envport
import httpx
import psutil
import pytest
from envport_protocol.errors import ProjectError, ServeError
from envport_protocol.server.routing import owner
from envport_protocol.server.serving import bound_socket
from envport_protocol.server.workers import run_workers

from .crew import Crew, crew, text_of, until

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 3


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """One server for the tests that leave it whole."""
    with crew(tmp_path_factory.mktemp("crew"), max_rollouts=100, orphan_grace_s=0.2) as one:
        yield one


@pytest.fixture
def three(shared: Crew) -> Iterator[Crew]:
    """That server; the test must end what it begins."""
    yield shared
    assert shared.connections[0].get("/v1/rollouts").json() == {"rollouts": [], "total": 0, "queued": 0}


def one_of_each(prefix: str) -> list[str]:
    """Three rollout ids, each of another worker."""
    ids = [f"{prefix}{number}" for number in range(100)]
    return [next(one for one in ids if owner(one, WORKERS) == number) for number in range(WORKERS)]


def end_all(server: Crew, rollout_ids: list[str]) -> None:
    for rollout_id in rollout_ids:
        assert server.post("end_rollout", rollout_id=rollout_id).status_code == 200


def samples(server: Crew, name: str) -> dict[str, float]:
    """The values of a metric by their labels as they are written."""
    text = server.connections[0].get("/metrics").text
    found = re.findall(rf"^{name}{{([^}}]*)}} (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_every_verb_finds_its_rollout_from_every_connection(three: Crew):
    ids = [f"verbs{number}.0" for number in range(12)]
    for step, rollout_id in enumerate(ids):
        fork, key = rollout_id.replace(".0", ".1"), rollout_id.partition(".")[0]

        def ask(verb: str, step: int = step, **body: Any) -> Any:
            answers = [three.post(verb, step + more, **body) for more in range(len(three.connections))]
            assert {answer.status_code for answer in answers} == {200}, answers[0].text
            assert len({answer.content for answer in answers}) == 1, "each connection hears the same"
            return answers[0].json()

        assert ask("start_rollout", rollout_id=rollout_id, split="train", index=0)["rollout_id"] == rollout_id
        assert ask("list_tools", rollout_id=rollout_id)["tools"][0]["name"] == "add"
        adding = {"call_id": "c", "tool_name": "add", "arguments": {"by": 3}}
        assert ask("run_tool", rollout_id=rollout_id, **adding)["content"][0]["text"] == "3"
        assert ask("fork_rollout", rollout_id=rollout_id, new_rollout_id=fork)["rollout_id"] == fork
        assert ask("cancel", rollout_id=fork, call_id="never")["cancelled"] is True
        members = [{"rollout_id": one, "completion": "done"} for one in (rollout_id, fork)]
        rewards = ask("compute_group_reward", group_id=key, members=members)["answers"]
        assert [one["reward"] for one in rewards] == [1.0, 1.0]
        assert ask("compute_reward", rollout_id=fork, completion="done")["reward"] == 1.0
        assert ask("end_rollout", rollout_id=rollout_id) == {"rollout_id": rollout_id}
        assert ask("end_rollout", rollout_id=fork) == {"rollout_id": fork}
    ran = Counter(line.split()[0] for line in three.ledger if line.startswith("verbs"))
    assert ran == dict.fromkeys([*ids, *(one.replace(".0", ".1") for one in ids)], 1)


def test_rollouts_are_spread_over_the_workers_and_stay_where_they_are(three: Crew):
    ids = [f"spread{number}.{member}" for number in range(12) for member in range(2)]
    for rollout_id in ids:
        assert three.start(rollout_id).status_code == 200
    places = {
        rollout_id: {
            text_of(three.run(rollout_id, f"c{number}", "where", number)) for number in range(len(three.connections))
        }
        for rollout_id in ids
    }
    assert all(len(pids) == 1 for pids in places.values())
    assert {int(pid) for (pid,) in places.values()} == set(three.pids)
    assert all(places[f"spread{number}.0"] == places[f"spread{number}.1"] for number in range(12))
    end_all(three, ids)


def test_connections_are_dealt_to_the_workers_in_turn(three: Crew):
    dealt = [psutil.Process(pid).net_connections("tcp") for pid in three.pids]
    assert [sum(one.status == "ESTABLISHED" for one in ones) for ones in dealt] == [2, 2, 2]


def test_a_batch_is_answered_across_workers_as_its_calls_are_done(three: Crew):
    ids = one_of_each("batch")
    starts = [
        {"id": rollout_id, "verb": "start_rollout", "body": {"rollout_id": rollout_id, "split": "train", "index": 0}}
        for rollout_id in ids
    ]
    lines = three.post("batch", calls=starts).text.splitlines()
    assert {json.loads(line)["id"]: json.loads(line)["status"] for line in lines} == dict.fromkeys(ids, 200)

    def call(rollout_id: str, call_id: str, tool_name: str, **arguments: Any) -> dict[str, Any]:
        body = {"rollout_id": rollout_id, "call_id": call_id, "tool_name": tool_name, "arguments": arguments}
        return {"id": f"{rollout_id} {call_id}", "verb": "run_tool", "body": body}

    slow = [call(rollout_id, "slow", "wait", gate=f"gate-{rollout_id}") for rollout_id in ids]
    quick = [call(rollout_id, f"q{number}", "add", by=1) for rollout_id in ids for number in range(4)]
    wrong = [call("nobody", "c", "add", by=1), call(ids[1], "odd", "no_such_tool")]
    with three.connections[1].stream("POST", "/v1/batch", json={"calls": [*slow, *quick, *wrong]}) as answer:
        lines = (json.loads(line) for line in answer.iter_lines())
        first = [next(lines) for _ in range(len(quick) + len(wrong))]
        assert {line["id"] for line in first} == {one["id"] for one in [*quick, *wrong]}
        assert {line["id"]: line["status"] for line in first if line["status"] != 200} == {"nobody c": 404}
        for rollout_id in reversed(ids):
            (three.folder / f"gate-{rollout_id}").touch()
            line = next(lines)
            assert (line["id"], line["status"]) == (f"{rollout_id} slow", 200)
        assert list(lines) == []
    end_all(three, ids)


def test_a_fork_or_a_group_over_two_workers_is_refused_with_what_to_do(three: Crew):
    ids = one_of_each("apart")
    for rollout_id in ids:
        three.start(rollout_id)
    fork = three.post("fork_rollout", rollout_id=ids[0], new_rollout_id=ids[1])
    members = [{"rollout_id": one, "completion": "done"} for one in ids]
    group = three.post("compute_group_reward", group_id="g", members=members)
    assert [answer.status_code for answer in (fork, group)] == [422, 422]
    assert f"name the new rollout {ids[0]}.SOMETHING" in fork.json()["error"]["message"]
    assert "GROUP.0, GROUP.1 and so on" in group.json()["error"]["message"]
    end_all(three, ids)


def test_large_bodies_and_answers_pass_between_workers(three: Crew):
    ids = one_of_each("large")
    long = "x" * 3_000_000
    for rollout_id in ids:
        body = {"rollout_id": rollout_id, "messages": [{"role": "user", "content": long}]}
        assert three.post("start_rollout", **body).json()["messages"][0]["content"] == long
    end_all(three, ids)


def test_what_is_told_of_the_server_is_told_of_all_of_it(three: Crew):
    ids = [*one_of_each("told"), "told.a", "told.b"]
    for number, rollout_id in enumerate(ids):
        three.start(rollout_id, number)
    for connection in three.connections:
        listed = connection.get("/v1/rollouts").json()
        assert [one["rollout_id"] for one in listed["rollouts"]] == ids, "oldest first"
        assert (listed["total"], listed["queued"]) == (5, 0)
        assert connection.get("/v1/manifest").json()["limits"]["max_rollouts"] == 100
        assert connection.get("/readyz").json() == {"status": "ready"}
        assert connection.get("/v1/tasks", params={"split": "train"}).json()["total"] == 1
        page = connection.get("/metrics", headers={"Accept": "application/openmetrics-text"})
        assert page.headers["content-type"].startswith("application/openmetrics-text")
        assert page.text.endswith("# EOF\n")
    assert samples(three, "envport_worker_up") == {f'worker="{number}"': 1.0 for number in range(3)}
    until(lambda: sum(samples(three, "envport_rollouts_open").values()) == 5)
    assert set(samples(three, "envport_rollouts_limit").values()) == {100}
    end_all(three, ids)


def test_each_request_is_counted_once(three: Crew):
    def counted() -> tuple[float, float]:
        answered = samples(three, "envport_requests_total")
        executed = samples(three, "envport_call_execution_seconds_count")
        return (
            sum(count for labels, count in answered.items() if 'verb="run_tool"' in labels),
            sum(count for labels, count in executed.items() if 'tool="add"' in labels),
        )

    ids = one_of_each("counted")
    for rollout_id in ids:
        three.start(rollout_id)
    answered, executed = counted()
    for rollout_id in ids:
        for connection in range(6):
            three.run(rollout_id, f"c{connection}", "add", connection, by=1)
            three.run(rollout_id, f"c{connection}", "add", connection, by=1)
    until(lambda: counted() == (answered + 36, executed + 18))
    end_all(three, ids)


def test_who_asks_for_the_metrics_again_at_once_is_told_the_same(three: Crew):
    def cpu_s(answer: httpx.Response) -> list[str]:
        return re.findall(r"^envport_process_cpu_seconds_total{.*$", answer.text, re.MULTILINE)

    open_metrics = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    asked = [three.connections[0].get("/metrics", headers=open_metrics) for _ in range(20)]
    assert len({answer.content for answer in asked}) <= 2, "one, and another where a second has passed"
    assert len(cpu_s(asked[0])) == WORKERS
    until(lambda: cpu_s(three.connections[0].get("/metrics", headers=open_metrics)) != cpu_s(asked[-1]))


def test_a_request_has_its_ids_in_whatever_worker_it_runs(three: Crew):
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    ids = one_of_each("ids")
    for number, rollout_id in enumerate(ids):
        three.start(rollout_id)
        body = {"rollout_id": rollout_id, "call_id": "c", "tool_name": "asked_by"}
        headers = {"X-Request-Id": f"mine-{number}", "Traceparent": trace}
        answer = three.connections[0].post("/v1/run_tool", json=body, headers=headers)
        assert (text_of(answer), answer.headers["x-request-id"]) == (f"mine-{number} {trace}", f"mine-{number}")
        made = three.run(rollout_id, "d", "asked_by")
        assert text_of(made) == f"{made.headers['x-request-id']} None"
    end_all(three, ids)


def test_a_call_that_its_client_left_is_cancelled_in_whatever_worker_it_runs(three: Crew):
    ids = one_of_each("left")
    for rollout_id in ids:
        three.start(rollout_id)
        waiting = {"rollout_id": rollout_id, "call_id": "c", "tool_name": "wait", "arguments": {"gate": "never"}}
        with httpx.Client(base_url=three.url) as leaving, contextlib.suppress(httpx.ReadTimeout):
            leaving.post("/v1/run_tool", json=waiting, timeout=0.3)
    for rollout_id in ids:
        until(lambda rollout_id=rollout_id: f"{rollout_id} cancelled" in three.ledger)
        again = three.run(rollout_id, "c", "wait", gate="never")
        assert (again.status_code, again.json()["error"]["outcome"]) == (409, "cancelled")
    end_all(three, ids)


def test_a_rollouts_tools_are_reached_by_mcp_from_every_connection(three: Crew):
    pytest.importorskip("mcp")
    ids = one_of_each("mcp")
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    for rollout_id in ids:
        token = three.start(rollout_id).json()["token"]
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        for connection in three.connections:
            answer = connection.post("/mcp", json=message, headers=headers)
            names = [tool["name"] for tool in answer.json()["result"]["tools"]]
            assert names == ["add", "where", "wait", "asked_by", "descriptors", "fork", "die"], answer.text
    end_all(three, ids)


def test_what_a_tool_starts_inherits_nothing_of_the_server(three: Crew):
    (rollout_id, *_) = one_of_each("inherits")
    three.start(rollout_id)
    own = ["0", "1", "2", "3"]  # the last one is that of the folder which `ls` reads
    assert text_of(three.run(rollout_id, "c", "descriptors")).split() == own
    end_all(three, [rollout_id])


def test_tokens_are_known_to_every_worker(tmp_path):
    tokens = {"trainer": "trainer-trainer!", "agent": "agent-agent-agent", "admin": "admin-admin-admin"}
    with crew(tmp_path, tokens=tokens, workers=2) as two:
        ids = [next(f"t{n}" for n in range(100) if owner(f"t{n}", 2) == number) for number in range(2)]
        assert two.start(ids[0]).status_code == 401
        two.connect(tokens["trainer"])
        own = {rollout_id: two.start(rollout_id, 1).json()["token"] for rollout_id in ids}
        for rollout_id, other in (ids, reversed(ids)):
            two.connect(own[rollout_id])
            for connection in range(4):
                assert text_of(two.run(rollout_id, "c", "add", connection, by=1)) == "1"
                refused = two.run(other, "c", "add", connection, by=1)
                ended = two.post("end_rollout", connection, rollout_id=rollout_id)
                assert [answer.status_code for answer in (refused, ended)] == [403, 403]
        for token, status in (("agent", 403), ("admin", 200)):
            two.connect(tokens[token])
            assert {one.get("/v1/rollouts").status_code for one in two.connections} == {status}
        _, out, err = two.stop()
    assert not any(secret in out + err for secret in [*tokens.values(), *own.values()])


def ids_of(worker: int, prefix: str, count: int) -> list[str]:
    """So many rollout ids of the worker of this number."""
    return [one for one in (f"{prefix}{n}" for n in range(100 * count)) if owner(one, WORKERS) == worker][:count]


def test_one_worker_may_hold_all_that_the_server_may(tmp_path):
    with crew(tmp_path, max_rollouts=8, max_queued=6, queue_timeout_s=30.0) as server, ThreadPoolExecutor(2) as pool:
        ids = ids_of(0, "full", 8)
        assert [server.start(one, number).status_code for number, one in enumerate(ids)] == [200] * 8
        (waits,) = ids_of(1, "waits", 1)
        waiting = pool.submit(server.start, waits)
        until(lambda: server.connections[1].get("/v1/rollouts").json()["queued"] == 1)
        assert not waiting.done()
        end_all(server, ids[:1])
        assert waiting.result().status_code == 200
        end_all(server, [*ids[1:], waits])


def test_a_full_server_refuses_in_every_worker_and_says_how_many_all_hold(tmp_path):
    with crew(tmp_path, max_rollouts=3, max_queued=0) as server:
        ids = ids_of(0, "first", 2) + ids_of(1, "second", 1)
        assert [server.start(one, number).status_code for number, one in enumerate(ids)] == [200] * 3
        for worker in range(WORKERS):
            refused = server.start(*ids_of(worker, "refused", 1))
            assert refused.status_code == 503
            assert refused.json()["error"]["details"]["rollouts"] == 3
        _, _, err = server.stop()
    assert "3 of 3 rollouts are open" in err


def test_what_a_killed_worker_held_is_room_for_the_others(tmp_path):
    with crew(tmp_path, max_rollouts=3, max_queued=6, queue_timeout_s=30.0) as server:
        victim = server.where(ids_of(0, "victim", 1)[0])
        ids = ids_of(0, "lost", 3)
        assert [server.start(one, number).status_code for number, one in enumerate(ids)] == [200] * 3
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in server.pids)
        server.connect()
        ids = [*ids_of(1, "one", 2), *ids_of(2, "two", 1)]
        assert [server.start(one, number).status_code for number, one in enumerate(ids)] == [200] * 3
        end_all(server, ids)


async def test_one_client_holds_just_what_the_manifest_allows(tmp_path):
    messages = [{"role": "user", "content": "Count."}]
    most = 0
    with crew(tmp_path, workers=4, max_rollouts=64) as server:

        async def watch(http: httpx.AsyncClient) -> None:
            nonlocal most
            while True:
                answer = await http.get("/v1/rollouts")
                if answer.status_code == 200:
                    most = max(most, answer.json()["total"])

        async with httpx.AsyncClient(base_url=server.url) as http, envport.connect(server.url) as env:
            assert env.manifest.limits.max_rollouts == 64
            watching = asyncio.create_task(watch(http))
            async with asyncio.timeout(30):
                groups = await asyncio.gather(*(env.start_group(8, messages=messages) for _ in range(8)))
            assert (await http.get("/v1/rollouts")).json()["total"] == 64
            one_more = [
                asyncio.create_task(
                    http.post("/v1/start_rollout", json={"rollout_id": f"more{n}", "messages": messages}, timeout=30)
                )
                for n in range(8)
            ]
            assert [(await task).status_code for task in one_more] == [503] * 8
            await asyncio.gather(*(rollout.end() for group in groups for rollout in group))
            watching.cancel()
    assert most == 64


def pid_of(server: Crew, connection: httpx.Client) -> int:
    """The process of the worker that has a connection."""
    (stream,) = connection._transport._pool.connections
    local = stream._connection._network_stream.get_extra_info("client_addr")[1]
    (pid,) = [
        pid for pid in server.pids for one in psutil.Process(pid).net_connections("tcp") if one.raddr.port == local
    ]
    return pid


def keep_away_from(server: Crew, pid: int) -> list[httpx.Client]:
    """The connections that are left when those of a worker are closed."""
    left = [one for one in server.connections if pid_of(server, one) != pid]
    for connection in server.connections:
        if connection not in left:
            connection.close()
    server.connections = left
    return left


def play(server: Crew, rollout_id: str, call_ids: list[str]) -> list[tuple[int, str]]:
    """Status and text of adding 1 for each call id, asked again where a worker has just gone away."""
    heard = []
    deadline = time.monotonic() + 60
    for number, call_id in enumerate(call_ids):
        while True:
            assert time.monotonic() < deadline, "no worker came back"
            with contextlib.suppress(httpx.TransportError):
                answer = server.run(rollout_id, call_id, "add", number, by=1)
                if answer.status_code != 503:
                    break
        text = text_of(answer) if answer.status_code == 200 else answer.json()["error"]["outcome"]
        heard.append((answer.status_code, text))
    return heard


@pytest.mark.parametrize(
    ("is_deterministic", "has_journal", "lost"),
    [(True, True, None), (False, True, (410, "lost")), (True, False, (404, "lost"))],
)
def test_a_killed_worker_takes_none_but_its_own_rollouts_with_it(tmp_path, is_deterministic, has_journal, lost):
    journal = tmp_path / "journal" if has_journal else None
    with crew(tmp_path, deterministic=is_deterministic, journal=journal and str(journal)) as server:
        ids = [f"killed{number}" for number in range(60)]
        for number, rollout_id in enumerate(ids):
            assert server.start(rollout_id, number).status_code == 200
            assert text_of(server.run(rollout_id, "c0", "add", number, by=1)) == "1"
        of_victim = {rollout_id for rollout_id in ids if owner(rollout_id, WORKERS) == 1}
        victim = server.where(next(iter(of_victim)))
        others = set(server.pids) - {victim}
        with ThreadPoolExecutor(12) as pool:
            playing = {one: pool.submit(play, server, one, [f"c{n}" for n in range(10)]) for one in ids}
            until(lambda: sum(" add " in line for line in server.ledger) > 200)
            os.kill(victim, signal.SIGKILL)
            heard = {rollout_id: one.result() for rollout_id, one in playing.items()}
        whole = [(200, f"{number}") for number in range(1, 11)]
        for rollout_id in ids:
            after = play(server, rollout_id, ["after"])
            if rollout_id in of_victim and lost is not None:
                answered = [one for one in heard[rollout_id] if one != lost]
                assert heard[rollout_id] == whole[: len(answered)] + [lost] * (10 - len(answered))
                assert after == [lost]
            else:
                assert (heard[rollout_id], after) == (whole, [(200, "11")])
        if lost is not None:
            assert any(lost in heard[rollout_id] for rollout_id in of_victim)
        undisturbed = Counter(line.split()[0] for line in server.ledger if " add " in line)
        assert {undisturbed[rollout_id] for rollout_id in set(ids) - of_victim} == {11}, "each call ran once"
        server.connect()
        until(lambda: server.connections[0].get("/readyz").status_code == 200)
        assert others < set(server.pids)
        assert samples(server, "envport_worker_restarts_total") == {
            f'worker="{number}"': float(number == 1) for number in range(3)
        }
        for number, rollout_id in enumerate(ids):
            assert server.post("end_rollout", number, rollout_id=rollout_id).status_code in (200, 404, 410)
        assert server.connections[0].get("/v1/rollouts").json()["total"] == 0


def test_a_worker_that_a_call_brings_down_again_and_again_comes_back(tmp_path):
    with crew(tmp_path, workers=2) as server:
        fatal = next(f"f{n}" for n in range(100) if owner(f"f{n}", 2) == 1)
        calm = next(f"c{n}" for n in range(100) if owner(f"c{n}", 2) == 0)
        assert server.start(calm).status_code == 200
        for number in range(3):
            pid = server.where(fatal)
            with contextlib.suppress(httpx.TransportError):
                server.start(fatal)
                assert server.run(fatal, f"d{number}", "die").status_code == 503
            until(lambda pid=pid: pid not in server.pids)
            server.connect()
            assert text_of(server.run(calm, f"c{number}", "add", by=1)) == f"{number + 1}"
            until(lambda: server.connections[0].get("/readyz").status_code == 200)
        assert samples(server, "envport_worker_restarts_total") == {'worker="0"': 0.0, 'worker="1"': 3.0}


def test_a_worker_that_is_stuck_holds_up_none_but_its_own_rollouts(tmp_path):
    with crew(tmp_path, workers=2) as server:
        ids = [next(f"s{n}" for n in range(100) if owner(f"s{n}", 2) == number) for number in range(2)]
        for rollout_id in ids:
            server.start(rollout_id)
        stuck = server.where(ids[1])
        free = keep_away_from(server, stuck)
        os.kill(stuck, signal.SIGSTOP)
        assert text_of(server.run(ids[0], "c", "add", by=1)) == "1"
        ready = free[0].get("/readyz")
        assert (ready.status_code, ready.json()["error"]["code"]) == (503, "not_ready")
        assert "worker 1 of this server did not answer within 2 s" in ready.json()["error"]["message"]
        assert samples(server, "envport_worker_up") == {'worker="0"': 1.0, 'worker="1"': 0.0}
        for _ in range(2):  # one new connection may still be dealt to it
            with contextlib.suppress(httpx.ReadTimeout):
                httpx.get(f"{server.url}/livez", timeout=1)
        for _ in range(4):
            assert httpx.get(f"{server.url}/livez").status_code == 200
        os.kill(stuck, signal.SIGCONT)
        until(lambda: free[0].get("/readyz").status_code == 200)
        assert text_of(server.run(ids[1], "c", "add", by=1)) == "1"


def test_a_worker_that_stays_stuck_is_started_again(tmp_path):
    with crew(tmp_path, workers=2, heartbeat_s=0.5, journal=str(tmp_path / "journal")) as server:
        ids = [next(f"s{n}" for n in range(100) if owner(f"s{n}", 2) == number) for number in range(2)]
        for rollout_id in ids:
            server.start(rollout_id)
        stuck = server.where(ids[1])
        keep_away_from(server, stuck)
        os.kill(stuck, signal.SIGSTOP)
        broken_off = server.run(ids[1], "c", "add", by=1)
        assert (broken_off.status_code, broken_off.json()["error"]["code"]) == (503, "not_ready")
        assert play(server, ids[1], ["c"]) == play(server, ids[0], ["c"]) == [(200, "1")]
        assert stuck not in server.pids
        _, _, err = server.stop()
    assert f"worker 1 (process {stuck}) did not come to its heartbeats for 3 s, and was killed" in err


@contextlib.contextmanager
def ended(processes: list[psutil.Process]) -> Iterator[None]:
    """Kills at the end what was to be ended by then."""
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def test_a_worker_whose_environment_has_forked_is_started_again(tmp_path):
    forked: list[psutil.Process] = []
    with crew(tmp_path, workers=2, journal=str(tmp_path / "journal")) as server, ended(forked):
        ids = [next(f"s{n}" for n in range(100) if owner(f"s{n}", 2) == number) for number in range(2)]
        for rollout_id in ids:
            server.start(rollout_id)
            forked.append(psutil.Process(server.ask(rollout_id, "fork")))
        killed = server.where(ids[1])
        keep_away_from(server, killed)
        os.kill(killed, signal.SIGKILL)
        until(lambda: killed not in server.pids)
        assert play(server, ids[1], ["a", "b"]) == [(200, "1"), (200, "2")]
        psutil.wait_procs(forked[1:], timeout=10)
        assert [one.is_running() for one in forked] == [True, False]
        forked.append(psutil.Process(server.ask(f"{ids[1]}.again", "fork")))
        assert server.stop()[:2] == (0, "stopped\n")
        assert psutil.wait_procs(forked, timeout=10)[1] == []


def test_a_second_signal_ends_what_does_not_listen(tmp_path):
    with crew(tmp_path, workers=2) as server:
        workers = [psutil.Process(pid) for pid in server.pids]
        workers[0].suspend()
        server.process.send_signal(signal.SIGTERM)
        psutil.wait_procs(workers[1:], timeout=30)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == 0
        assert not any(worker.is_running() for worker in workers)


def test_tokens_and_rollouts_outlive_a_restart_of_all(tmp_path):
    settings: dict[str, Any] = {"journal": str(tmp_path / "journal"), "tokens": {"trainer": "trainer-trainer!"}}
    ids = one_of_each("again")
    with crew(tmp_path, **settings) as server:
        server.connect("trainer-trainer!")
        own = {rollout_id: server.start(rollout_id).json()["token"] for rollout_id in ids}
        for rollout_id in ids:
            assert text_of(server.run(rollout_id, "c", "add", by=2)) == "2"
        port = int(server.url.rpartition(":")[2])
        server.process.kill()
        server.process.wait()
        with crew(tmp_path, port=port, **settings) as again:
            for rollout_id in ids:
                again.connect(own[rollout_id])
                assert text_of(again.run(rollout_id, "c", "add", by=2)) == "2"
                assert text_of(again.run(rollout_id, "d", "add", by=1)) == "3"


def test_a_killed_supervisor_leaves_nothing(tmp_path):
    with crew(tmp_path) as server:
        server.start("r")
        workers = [psutil.Process(pid) for pid in server.pids]
        port = int(server.url.rpartition(":")[2])
        assert len(list((tmp_path / "tmp").iterdir())) == 1
        with ThreadPoolExecutor(1) as pool:
            stuck = pool.submit(server.run, "r", "c", "wait", gate="never")
            until(lambda: "r waits" in server.ledger)
            server.process.kill()
            assert isinstance(stuck.exception(), httpx.TransportError)
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert alive == []
        with bound_socket("127.0.0.1", port):
            assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(("number", "status", "out"), [(signal.SIGTERM, 0, "stopped\n"), (signal.SIGINT, 130, "")])
def test_what_runs_is_finished_when_it_is_told_to_stop(tmp_path, number, status, out):
    with crew(tmp_path, shutdown_timeout_s=20.0) as server:
        ids = one_of_each("stop")
        for rollout_id in ids:
            server.start(rollout_id)
        workers = [psutil.Process(pid) for pid in server.pids]
        waits = [
            {"rollout_id": rollout_id, "call_id": "c", "tool_name": "wait", "arguments": {"gate": "gate"}}
            for rollout_id in ids
        ]
        calls = [{"id": wait["rollout_id"], "verb": "run_tool", "body": wait} for wait in waits]
        for connection in server.connections[1:]:
            connection.close()  # so two workers have nothing to do but what the third one asks them
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(server.post, "batch", calls=calls)
            until(lambda: sum(line.endswith(" waits") for line in server.ledger) == 3)
            server.process.send_signal(number)
            until(lambda: refuses(server.url))
            gone, _ = psutil.wait_procs(workers, timeout=1.0)
            assert gone == [], "all workers wait for what they run"
            (tmp_path / "gate").touch()
            lines = [json.loads(line) for line in running.result().text.splitlines()]
        assert {line["id"]: line["status"] for line in lines} == dict.fromkeys(ids, 200)
        told, err = server.process.communicate(timeout=30)
        assert (server.process.returncode, told, err) == (status, out, "")
        assert not any(worker.is_running() for worker in workers)
        assert list((tmp_path / "tmp").iterdir()) == []


def refuses(url: str) -> bool:
    try:
        httpx.get(f"{url}/livez")
    except httpx.ConnectError:
        return True
    except httpx.TransportError:
        return False
    return False


def test_what_does_not_finish_is_broken_off_in_time(tmp_path):
    with crew(tmp_path, shutdown_timeout_s=1.0) as server:
        server.start("r")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(server.run, "r", "c", "wait", gate="never")
            until(lambda: "r waits" in server.ledger)
            status, out, _ = server.stop()
        assert (status, out) == (0, "stopped\n")
        assert "r cancelled" in server.ledger


def test_a_worker_that_is_stopped_by_itself_is_started_again(tmp_path):
    with crew(tmp_path, workers=2, journal=str(tmp_path / "journal")) as server:
        ids = [next(f"s{n}" for n in range(100) if owner(f"s{n}", 2) == number) for number in range(2)]
        for rollout_id in ids:
            server.start(rollout_id)
        before = set(server.pids)
        os.kill(server.where(ids[0]), signal.SIGTERM)
        until(lambda: len(set(server.pids) - before) == 1)
        for rollout_id in ids:
            assert play(server, rollout_id, ["a", "b"]) == [(200, "1"), (200, "2")]


def test_a_worker_that_cannot_be_started_again_leaves_the_others_alone(tmp_path):
    with crew(tmp_path, workers=2) as server:
        ids = [next(f"s{n}" for n in range(100) if owner(f"s{n}", 2) == number) for number in range(2)]
        project = tmp_path / "project/envport.toml"
        described = project.read_text()
        project.unlink()
        server.start(ids[0])
        os.kill(server.where(ids[1]), signal.SIGKILL)
        assert server.process.stderr is not None
        for _ in range(5):
            until(lambda: "could not start" in server.process.stderr.readline())
            server.connect()
            assert server.run(ids[0], "c", "add", by=1).status_code == 200
        assert server.connections[0].get("/readyz").status_code == 503
        project.write_text(described)
        until(lambda: server.connections[0].get("/readyz").status_code == 200)
        assert play(server, ids[0], ["d"]) == [(200, "2")]


def test_workers_that_die_before_they_are_ready_end_the_server(tmp_path):
    server = Crew(tmp_path, workers=2, dies="at once")
    out, err = server.process.communicate(timeout=120)
    assert (server.process.returncode, out) == (1, "")
    last = err.strip().splitlines()[-1]
    assert re.fullmatch(
        r"ServeError: worker \d \(process \d+\) ended 5 times before it was ready; the last time it ended with "
        r"status 7",
        last,
    ), err
    assert list((tmp_path / "tmp").iterdir()) == []


def test_an_environment_that_cannot_start_ends_the_server_with_its_reason(tmp_path):
    server = Crew(tmp_path, workers=2, dies="asked for its tools")
    out, err = server.process.communicate(timeout=60)
    assert (server.process.returncode, out) == (1, "")
    assert err.strip().splitlines()[-1].startswith("ServeError: the environment could not start: ")
    assert "no tools today" in err


def test_a_folder_that_is_no_environment_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(ProjectError, match=r"envport\.toml"):
        run_workers(tmp_path, workers=2)


def test_a_port_in_use_and_too_many_workers_are_clear_messages(tmp_path):
    (tmp_path / "envport.toml").write_text('name = "x"\nversion = "1.0"\nentry_point = "x:X"\n')
    with bound_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port} on 127.0.0.1 is in use"):
            run_workers(tmp_path, port=port, workers=2)
    with pytest.raises(ServeError, match="2000 workers cannot hold 1000 rollouts together"):
        run_workers(tmp_path, workers=2000)


def test_a_faulty_folder_is_told_as_by_one_worker(tmp_path):
    (tmp_path / "envport.toml").write_text('name = "x"\nversion = "1.0"\nentry_point = "no_such_module_x:X"\n')
    code = f"from envport_protocol.server.workers import run_workers; run_workers({str(tmp_path)!r}, port=0, workers=2)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "ProjectError: entry_point 'no_such_module_x:X': there is no module 'no_such_module_x'" in done.stderr
