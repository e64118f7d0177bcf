from __future__ import annotations

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from envport_registry.runner.readiness import NotReadyYetError, probe, wait_until_ready


@pytest.fixture
def server():
    """A server whose `/readyz` answers the statuses in `server.statuses`, the last one again and again."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            statuses = self.server.statuses
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            self.send_response(status if self.path == "/readyz" else 404)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"body")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        serving.statuses = [200]
        serving.url = f"http://127.0.0.1:{serving.server_port}"
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def test_a_ready_server_is_ready(server):
    assert probe(server.url) is None


def test_a_server_that_is_not_ready_says_what_it_answered(server):
    server.statuses = [503]
    assert probe(server.url) == "HTTP 503: body"


@pytest.fixture
def dripping_url():
    """`dripping_url(first)` of a server that sends a head, `first` bytes at once, then a byte at a time for ever."""
    done = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 503 Wait\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * listener.first)
            while not done.wait(0.02):
                connection.sendall(b"x")

    class Listener(socket.socket):
        first = 0

    with Listener() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=drip, args=(listener,), daemon=True)

        def start(first: int) -> str:
            listener.first = first
            thread.start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start
        done.set()
        thread.join(10)


def test_of_an_endless_answer_only_the_beginning_is_read(dripping_url):
    assert probe(dripping_url(1000)) == "HTTP 503: " + "x" * 300


def test_an_answer_that_drips_is_given_up_at_the_deadline(dripping_url, monkeypatch):
    monkeypatch.setattr("envport_registry.runner.readiness._PROBE_TIMEOUT_S", 0.3)
    assert probe(dripping_url(0)) == "no whole answer within 0.3 s"


def test_the_wait_ends_when_the_server_gets_ready_and_tells_its_progress(server):
    server.statuses = [503, 503, 200]
    lines: list[str] = []
    wait_until_ready(server.url, lambda: None, 10, lines.append)
    assert lines == [f"waiting for {server.url}/readyz, 0 s"] * 2


def test_the_wait_ends_when_the_server_ends(server):
    server.statuses = [503]
    with pytest.raises(NotReadyYetError, match=r"^the server exited with status 3 before it was ready$"):
        wait_until_ready(server.url, lambda: "exited with status 3", 10, lambda _: None)


def test_another_server_on_the_port_of_one_that_ended_is_not_taken_for_it(server):
    answers = iter([None, "exited"])
    with pytest.raises(NotReadyYetError, match="the server exited before it was ready"):
        wait_until_ready(server.url, lambda: next(answers, "exited"), 10, lambda _: None)


def test_the_wait_ends_at_its_deadline_with_the_last_answer(server):
    server.statuses = [503]
    with pytest.raises(NotReadyYetError) as caught:
        wait_until_ready(server.url, lambda: None, 0.2, lambda _: None)
    assert str(caught.value) == "the server was not ready within 0.2 s, the last answer was HTTP 503: body"
