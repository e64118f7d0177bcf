from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest
from envport_registry.errors import RegistryError
from envport_registry.runner import DEFAULT_BASE_IMAGE
from envport_registry.runner.docker import connect_engine
from envport_registry.runner.wheel import repack_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

TINY_ENV = Path(__file__).parent / "tiny_env"


@functools.cache
def why_no_engine() -> str | None:
    """Asked once for all tests."""
    try:
        connect_engine().close()
    except RegistryError as error:
        return str(error)
    return None


def pytest_runtest_setup(item):
    if item.get_closest_marker("docker") is not None and (reason := why_no_engine()) is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def one_wheel() -> Iterator[None]:
    """The same wheel in all tests, also when somebody edits the checkout meanwhile: each new one is a new build."""
    wheel = repack_wheel()
    with pytest.MonkeyPatch.context() as patch:
        for module in ("image", "venv"):
            patch.setattr(f"envport_registry.runner.{module}.repack_wheel", lambda: wheel)
        yield


@pytest.fixture(scope="session")
def base_image() -> str:
    return os.environ.get("ENVPORT_BASE_IMAGE", DEFAULT_BASE_IMAGE)


@pytest.fixture(scope="session")
def engine():
    """A client of the real engine; ask for it in tests marked `docker` only."""
    client = docker.from_env(timeout=60)
    yield client
    client.close()


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory) -> Path:
    """One for all tests of a session: making a virtual environment takes longer than all the rest."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def tiny_env(tmp_path) -> Path:
    """A copy of the tiny environment, to be changed."""
    return Path(shutil.copytree(TINY_ENV, tmp_path / "tiny_env", ignore=shutil.ignore_patterns("__pycache__")))
