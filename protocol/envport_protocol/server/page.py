"""The page at `/`: one HTML document, with its style and script in it, that asks nobody but this server.

What it shows comes from environments and models that nobody vouches for. So its script makes no markup of any text,
and the policy sent with it would stop it if it did: only this style and this script by their digests, no other host,
no string taken as HTML.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

_PARTS = Path(__file__).parent / "page_parts"
_SCRIPTS = ("elements", "server", "schema_form", "environment", "tasks", "calls", "answer", "rollouts", "start")
_STYLE_MARK, _SCRIPT_MARK = "/*page.css*/", "/*page.js*/"


@dataclass(frozen=True, slots=True)
class Page:
    """The document and the headers that it is sent with."""

    body: bytes
    headers: dict[str, str]


def add_page(app: FastAPI) -> None:
    """Serves the page at `/`. A browser that has it already is told so by 304."""
    page = the_page()

    async def respond(request: Request) -> Response:
        if page.headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=page.headers)
        return Response(page.body, headers=page.headers, media_type="text/html")

    app.add_route("/", respond, methods=["GET"], include_in_schema=False)


@cache
def the_page() -> Page:
    """The page, put together from its parts."""
    style = (_PARTS / "page.css").read_text("utf-8")
    scripts = "\n".join((_PARTS / f"{name}.js").read_text("utf-8") for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{scripts}}})();\n'
    frame = (_PARTS / "page.html").read_text("utf-8")
    body = frame.replace(_STYLE_MARK, style).replace(_SCRIPT_MARK, script).encode()
    return Page(
        body,
        {
            "Content-Security-Policy": _policy(style, script),
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        },
    )


def _policy(style: str, script: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_digest(style)}",
            f"script-src {_digest(script)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
