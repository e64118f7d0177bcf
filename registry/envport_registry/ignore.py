"""Which files of a folder are not published: build products and caches, and what `.envportignore` names."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from envport_registry.errors import BundleError

IGNORE_FILE = ".envportignore"

ALWAYS = """
.git/
.hg/
.svn/
__pycache__/
*.pyc
*.pyo
.venv/
venv/
node_modules/
.mypy_cache/
.ruff_cache/
.pytest_cache/
.cache/
*.egg-info/
.DS_Store
/dist/
/build/
"""


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: str
    anchored: bool
    """Matches from the environment's folder on; else any file or folder of that name, at any depth."""
    folders_only: bool


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """Shell patterns, one a line, as in the simple half of .gitignore: `#` comments, `name`, `*.ext`, `/from/the/top`,
    `folder/`. A pattern with a `/` inside is taken from the top. `!` is not understood and is refused."""

    rules: tuple[_Rule, ...] = ()

    @classmethod
    def parse(cls, text: str) -> IgnoreRules:
        """The rules that always hold, and those of `text`.

        Raises:
            BundleError: a line begins with `!`.
        """
        lines = [line.strip() for line in (ALWAYS + text).splitlines()]
        return cls(tuple(_rule(line) for line in lines if line and not line.startswith("#")))

    def match(self, path: str, *, folder: bool) -> bool:
        """Whether the file or folder at this relative path stays out. A folder that does is not looked into."""
        name = path.rsplit("/", 1)[-1]
        return any(
            fnmatchcase(path if rule.anchored else name, rule.pattern)
            for rule in self.rules
            if folder or not rule.folders_only
        )


def _rule(line: str) -> _Rule:
    if line.startswith("!"):
        raise BundleError(f"{IGNORE_FILE} has the line {line[:100]!r}: '!' is not understood; name what to leave out")
    pattern = line.rstrip("/")
    anchored = "/" in pattern
    return _Rule(pattern.lstrip("/"), anchored, folders_only=line.endswith("/"))
