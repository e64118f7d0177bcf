"""The envport that is running now, as a wheel: images and virtual environments get the very code that started them.

An editable checkout and an installed wheel give the same files. The wheel is deterministic, so its digest names the
code: equal code, equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from envport_registry.runner.errors import RunnerError

_DISTRIBUTION = "envport"
_PACKAGES = ("envport", "envport_protocol", "envport_registry", "envport_trainer")
_DOCKERFILE = "envport_registry/Dockerfile"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_WHEEL_TEXT = b"Wheel-Version: 1.0\nGenerator: envport\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of envport in memory."""

    file_name: str
    content: bytes
    digest: str
    """`sha256:…` of `content`."""
    dockerfile: bytes
    """The Dockerfile that belongs to this code."""


def repack_wheel() -> Wheel:
    """The wheel of the envport that runs this call.

    Raises:
        RunnerError: a package or the Dockerfile is missing from this installation.
    """
    distribution = _distribution()
    files = _package_files()
    dist_info = f"{_DISTRIBUTION}-{distribution.version}.dist-info"
    files |= _metadata_files(distribution, dist_info)
    files[f"{dist_info}/RECORD"] = _record(files, f"{dist_info}/RECORD")
    content = _zip(files)
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return Wheel(f"{_DISTRIBUTION}-{distribution.version}-py3-none-any.whl", content, digest, files[_DOCKERFILE])


def _distribution() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError as error:
        raise RunnerError(
            "envport has no metadata in this Python: install it by pip, a copied folder is not enough"
        ) from error


def _package_files() -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for package in _PACKAGES:
        root = _package_folder(package)
        for path in sorted(root.rglob("*")):
            inside = path.relative_to(root)
            if path.is_file() and "__pycache__" not in inside.parts and path.suffix != ".pyc":
                files[str(PurePosixPath(package, *inside.parts))] = path.read_bytes()
    if _DOCKERFILE not in files:
        files[_DOCKERFILE] = _checkout_dockerfile().read_bytes()
    return files


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RunnerError(f"this installation of envport has no package {package}: install envport again")
    return Path(spec.submodule_search_locations[0])


def _checkout_dockerfile() -> Path:
    """An editable install has the Dockerfile at the top of the checkout, two folders above its package."""
    path = _package_folder("envport_registry").parents[1] / "Dockerfile"
    if not path.is_file():
        raise RunnerError(
            f"this installation of envport has no Dockerfile, expected it at {path}: install envport again"
        )
    return path


def _metadata_files(distribution: importlib.metadata.Distribution, dist_info: str) -> dict[str, bytes]:
    files = {f"{dist_info}/WHEEL": _WHEEL_TEXT}
    for name in ("METADATA", "entry_points.txt"):
        text = distribution.read_text(name)
        if text is None:
            raise RunnerError(f"this installation of envport has no {name}: install envport again")
        files[f"{dist_info}/{name}"] = text.encode()
    return files


def _record(files: dict[str, bytes], own_path: str) -> bytes:
    lines = [f"{path},sha256={_record_hash(content)},{len(content)}" for path, content in sorted(files.items())]
    return "\n".join([*lines, f"{own_path},,", ""]).encode()


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path, content in sorted(files.items()):
            info = zipfile.ZipInfo(path, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    return buffer.getvalue()
