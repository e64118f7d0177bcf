"""What `import envport_registry` promises to have, and that its errors cross the wire as themselves."""

from __future__ import annotations

import subprocess
import sys

import envport_registry
import pytest
from envport_protocol.errors import BodyTooLargeError, WireError
from envport_registry import errors


def test_the_public_names_are_these():
    assert envport_registry.__all__ == [
        "Bundle",
        "Cache",
        "EnvInfo",
        "EnvRef",
        "HubClient",
        "Published",
        "PulledEnv",
        "RegistryError",
        "VersionInfo",
        "default_home",
        "pack",
        "publish",
        "pull",
        "unpack",
        "verify_folder",
    ]
    assert all(hasattr(envport_registry, name) for name in envport_registry.__all__)


def test_publishing_and_pulling_need_no_server_packages():
    heavy = {"fastapi", "starlette", "uvicorn", "sqlalchemy", "docker", "torch"}
    script = f"import sys, envport_registry; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "cls",
    [
        errors.VersionExistsError,
        errors.DigestMismatchError,
        errors.NoSpaceError,
        errors.StorageError,
        BodyTooLargeError,
    ],
)
def test_an_error_crosses_the_wire_as_itself(cls: type[WireError]):
    error = cls("seen this, expected that", details={"seen": "this"})
    back = errors.registry_error_from_body(error.status, error.to_body())
    assert (type(back), back.message, back.details) == (cls, error.message, error.details)


def test_every_registry_error_has_a_code_of_its_own():
    classes = [errors.RegistryError, errors.NoSpaceError]
    classes += [cls for cls in errors.RegistryError.__subclasses__() if cls.__module__ == errors.__name__]
    codes = [cls.code for cls in classes]
    assert len(set(codes)) == len(codes) == 16
