"""A fake OpenAI-compatible server: answers what a test tells it to, over real HTTP, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    Answer = dict[str, Any] | Response


def says(content: str, *, finish: str = "stop", tokens: int = 3) -> dict[str, Any]:
    """A chat completion of plain text."""
    return {
        "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": finish}],
        "usage": {"completion_tokens": tokens},
    }


def calls(name: str, arguments: Any, *, call_id: str = "c1") -> dict[str, Any]:
    """A chat completion that calls one tool; `arguments` as text are sent as they are."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": {"completion_tokens": 5}}


def refuses(status: int, message: str, **headers: str) -> Response:
    """An error as OpenAI's API tells it."""
    return JSONResponse({"error": {"message": message}}, status_code=status, headers=headers)


@dataclass
class FakeOpenAi:
    """`answer(request body)` gives each chat completion."""

    answer: Callable[[dict[str, Any]], Answer] = lambda _: says("hello")
    models: list[str] = field(default_factory=lambda: ["fake-model"])
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    """Of every request."""
    paths: list[bytes] = field(default_factory=list)
    """Of every request for a completion, as sent."""
    echoes: bool = False
    """Refuse, and say the request's own URL and headers."""
    url: str = ""

    def in_turn(self, *answers: Answer) -> None:
        """Give these one after the other."""
        left = list(answers)
        self.answer = lambda _: left.pop(0)

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        self.keys.append(request.headers.get("authorization"))
        self.queries.append(request.url.query)
        self.paths.append(request.scope["raw_path"])
        if self.echoes:
            return refuses(403, f"{request.url} {request.headers.get('authorization')} is not allowed")
        answer = self.answer(body)
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    async def _models(self, request: Request) -> Response:
        self.queries.append(request.url.query)
        return JSONResponse({"data": [{"id": name} for name in self.models]})

    def app(self) -> Starlette:
        """Its routes."""
        chat = Route("/v1/chat/completions", self._chat, methods=["POST"])
        anywhere = Route("/{rest:path}/chat/completions", self._chat, methods=["POST"])
        return Starlette(routes=[chat, Route("/v1/models", self._models), anywhere])


class FakeServer:
    """Serves a `FakeOpenAi` on a free port, in a thread of its own."""

    def __init__(self, fake: FakeOpenAi) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        fake.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(fake.app(), log_level="error", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def start(self) -> None:
        """Returns when it listens."""
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > deadline:
                raise RuntimeError("the fake server did not start")
            time.sleep(0.005)

    def stop(self) -> None:
        """Returns when its thread has ended."""
        self._server.should_exit = True
        self._thread.join(timeout=15)
        self._socket.close()
