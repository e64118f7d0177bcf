from __future__ import annotations

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
