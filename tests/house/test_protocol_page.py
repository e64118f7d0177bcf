"""Every example of docs/protocol.md, sent to a real server in the order of the page."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from envport_protocol.messages import PROTOCOL_VERSION, BatchCall, BatchLine
from envport_protocol.project import load_project
from envport_protocol.server.scopes import NEEDED

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs/protocol.md"
TEXT = PAGE.read_text("utf-8")


def block(language: str) -> str:
    """The first fenced block in this language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


EXAMPLES = re.findall(r"^```http\n(.*?)^```\n```(json|ndjson)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def fits(shown: Any, seen: Any) -> bool:
    """Whether an answer is the one shown, where `…` stands for anything of its kind."""
    if shown in ("…", ["…"]):
        return seen is not None and seen != []
    if isinstance(shown, dict):
        return isinstance(seen, dict) and shown.keys() == seen.keys() and all(fits(shown[k], seen[k]) for k in shown)
    if isinstance(shown, list):
        return isinstance(seen, list) and len(shown) == len(seen) and all(map(fits, shown, seen))
    if isinstance(shown, str) and shown.endswith("…"):
        return isinstance(seen, str) and seen.startswith(shown[:-1])
    return type(shown) is type(seen) and shown == seen


def served_url(tmp_path: Path, serve_env: Callable[..., str]) -> str:
    (tmp_path / "capitals.py").write_text(block("python"), "utf-8")
    (tmp_path / "envport.toml").write_text(block("toml"), "utf-8")
    spec = importlib.util.spec_from_file_location("capitals", tmp_path / "capitals.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return serve_env(module.CapitalEnv(), load_project(tmp_path).serve_config())


def test_every_example_is_answered_as_the_page_says(tmp_path: Path, serve_env: Callable[..., str]):
    assert len(EXAMPLES) > 12
    with httpx.Client(base_url=served_url(tmp_path, serve_env)) as http:
        for request, language, answer in EXAMPLES:
            line, _, body = request.partition("\n")
            method, path = line.split()
            told = http.request(method, path, content=body or None, headers={"content-type": "application/json"})
            if language == "json":
                shown, seen = json.loads(answer), told.json()
                assert told.is_error == ("error" in shown), (line, told.text)
            else:
                shown, seen = (sorted(map(json.loads, text.splitlines()), key=str) for text in (answer, told.text))
            assert fits(shown, seen), (
                f"{request}\nthe page shows {json.dumps(shown)}\nthe server said {json.dumps(seen)}"
            )


def test_every_endpoint_has_an_example_and_its_scope():
    shown = {request.split()[1].split("?")[0] for request, _, _ in EXAMPLES}
    table = dict(re.findall(r"^\| `\w+ (/\S*)` \|.*\| (\w+) \|$", TEXT, re.MULTILINE))
    assert {path for path in table if path.startswith("/v1/")} == shown
    agents = {"anyone": "ANYONE", "agent": "ROLLOUT", "trainer": "TRAINER", "admin": "ADMIN"}
    assert {path: agents[who] for path, who in table.items()} == {path: scope.name for path, scope in NEEDED.items()}


def test_the_page_is_of_this_version():
    assert TEXT.startswith(f"# The environment protocol, version {PROTOCOL_VERSION}\n")
    assert set(BatchCall.model_fields) == {"id", "verb", "body"}
    assert set(BatchLine.model_fields) == {"id", "status", "body"}


def test_an_example_that_differs_is_seen():
    assert fits({"a": "…", "b": [1.0, "x…"]}, {"a": 3, "b": [1.0, "xyz"]})
    for seen in ({"a": 3, "b": [1.0, "yz"]}, {"a": 3, "b": [1, "xyz"]}, {"a": 3}, {"a": None, "b": [1.0, "x"]}):
        assert not fits({"a": "…", "b": [1.0, "x…"]}, seen)
