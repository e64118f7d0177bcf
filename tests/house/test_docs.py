"""The docs name what there is: every error, endpoint, command, variable, word and dependency."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer.main
from envport.cli import app
from envport_protocol import BaseEnv
from envport_protocol.project import Resources
from envport_protocol.server.app import create_app
from envport_trainer.alarms.settings import AlarmSettings
from envport_trainer.config import EnvSource, TrainConfig
from starlette.routing import Route

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGE_FOLDERS = ["protocol", "client", "registry", "trainer"]


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["openapi.json", "errors.md", "command-line.md", "train-config.md"])
def test_generated_pages_are_what_the_code_says(generate: ModuleType, name: str):
    assert page(name) == generate.PAGES[name](), "run make openapi"


def test_every_key_of_a_training_run_is_on_its_page_with_a_meaning():
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| [\w`].+ \|$", page("train-config.md"), re.MULTILINE)
    assert rows == ["env", *list(TrainConfig.model_fields)[1:], *EnvSource.model_fields, *AlarmSettings.model_fields]
    for row in (
        "| `group_size` | integer ≥ 2 | `8` | Rollouts of one task;",
        "| `loss` | one of `clip`, `gspo`, `cispo`, `dppo` | `",
    ):
        assert row in page("train-config.md")


def test_every_key_of_resources_is_on_the_page_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| ([\w.]+) \| .+ \|$", page("protocol.md"), re.MULTILINE)
    defaults = {key: str(default).lower() for key, default in Resources().model_dump().items()}
    assert {key: default for key, default in rows if key in defaults} == defaults


def classes() -> dict[str, set[str]]:
    """Every class of the packages with the names of its bases."""
    return {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for folder in PACKAGE_FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    }


def test_every_error_class_is_on_the_page_on_errors():
    bases_of, errors = classes(), {"EnvportError"}
    while more := {name for name, bases in bases_of.items() if bases & errors} - errors:
        errors |= more
    assert errors == set(re.findall(r"^\| `(\w+)` \|", page("errors.md"), re.MULTILINE))


def test_every_endpoint_of_an_environment_is_in_the_protocol():
    routes = [route for route in create_app(BaseEnv()).routes if isinstance(route, Route)]
    served = {f"{method} {route.path}" for route in routes for method in (route.methods or set()) - {"HEAD"}}
    assert served == set(re.findall(r"^\| `((?:GET|POST) [^`]+)` \|", page("protocol.md"), re.MULTILINE))


def test_every_endpoint_of_the_hub_is_on_its_page():
    served: set[str] = set()
    source = (ROOT / "registry/envport_registry/hub_server.py").read_text("utf-8")
    for method, path in re.findall(r"@app\.(get|post|put|delete)\(\"([^\"]+)\"", source):
        served.add(f"{method.upper()} {path}")
    named = {text.split("?")[0] for text in re.findall(r"^\| `((?:GET|POST) [^`]+)` \|", page("hub.md"), re.MULTILINE)}
    assert served == named


def test_every_command_is_on_its_page_with_an_example(generate: ModuleType):
    sections = re.findall(
        r"^## `(envport [a-z ]+)`\n.*?\n```sh\n(\w+)", page("command-line.md"), re.MULTILINE | re.DOTALL
    )
    commands = generate.commands_of(typer.main.get_command(app))
    assert sections == [(name, "envport") for name in commands]


def test_every_environment_variable_of_the_command_line_is_on_its_page():
    read = {
        name
        for path in (ROOT / "client/envport/cli").glob("*.py")
        for name in re.findall(r"\bENVPORT_[A-Z_]+\b", path.read_text("utf-8"))
    }
    assert read == set(re.findall(r"`(ENVPORT_[A-Z_]+)`", page("command-line.md")))


def test_the_glossary_has_the_five_words():
    words = re.findall(r"^\| \*\*(\w+)\*\* \|", page("glossary.md"), re.MULTILINE)
    assert words == ["task", "harness", "rollout", "reward", "trainer"]


def test_every_dependency_has_its_decision():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = [
        project["build-system"]["requires"],
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    names = {re.split(r"[^A-Za-z0-9-]", requirement)[0] for group in groups for requirement in group} - {"envport"}
    decisions = "\n".join(path.read_text("utf-8") for path in (DOCS / "decisions").glob("*.md"))
    named = {name.lower() for name in re.findall(r"[A-Za-z0-9][A-Za-z0-9-]*", decisions)}
    assert {name for name in names if name.lower() not in named} == set()


def test_decisions_are_numbered_without_gaps_and_have_their_parts():
    paths = sorted((DOCS / "decisions").glob("*.md"))
    assert [path.name[:3] for path in paths] == [f"{number:03}" for number in range(1, len(paths) + 1)]
    for path in paths:
        text = path.read_text("utf-8")
        assert text.startswith(f"# {path.name[:3]} "), path.name
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Context", "Decision", "Cost"], path.name


def links(path: Path) -> list[str]:
    found = re.findall(r"\]\(([^)]+)\)", path.read_text("utf-8"))
    return [link for link in found if not link.startswith(("http://", "https://"))]


@pytest.mark.parametrize(
    "path", [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))], ids=lambda path: str(path.relative_to(ROOT))
)
def test_links_lead_somewhere(path: Path):
    broken: list[str] = []
    for link in links(path):
        target, _, anchor = link.partition("#")
        file = (path.parent / target) if target else path
        if not file.exists():
            broken.append(link)
        elif anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            if anchor not in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}:
                broken.append(link)
    assert broken == []


def test_changelog_keeps_its_form():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[0] == "[Unreleased]"
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds


def test_contributing_fits_on_one_screen():
    lines = (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()
    assert len(lines) <= 50
