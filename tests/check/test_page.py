"""The page on the checks names each of them; it is generated, and each check says what it is for."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from envport.check import CHECKS, PROMISES

DOCS = Path(__file__).parents[2] / "docs"


def generated() -> str:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.checks()


def test_the_page_is_what_the_code_says():
    assert (DOCS / "check.md").read_text("utf-8") == generated(), "run make openapi"


def test_the_page_has_every_check():
    page = (DOCS / "check.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    assert rows == [one.name for one in CHECKS]


def test_every_promise_has_a_check():
    assert {one.promise for one in CHECKS} == set(PROMISES) == set(range(1, 12))


def test_every_check_says_what_it_does_expects_and_advises():
    for one in CHECKS:
        assert re.fullmatch(r"[A-Z].+\.", one.does), one.name
        assert one.expected, one.name
        assert one.remedy.endswith("."), one.name


def test_names_are_unique():
    names = [one.name for one in CHECKS]
    assert len(set(names)) == len(names)
