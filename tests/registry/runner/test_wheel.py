from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

from envport_registry.runner.wheel import repack_wheel

REPOSITORY = Path(__file__).parents[3]


def contents() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(repack_wheel().content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_packing_twice_gives_the_same_bytes_and_their_digest():
    first, second = repack_wheel(), repack_wheel()
    assert first == second
    assert first.digest == "sha256:" + hashlib.sha256(first.content).hexdigest()


def test_the_wheel_holds_all_four_packages_and_no_compiled_files():
    names = list(contents())
    packages = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert packages == {"envport", "envport_protocol", "envport_registry", "envport_trainer"}
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []


def test_the_wheel_holds_the_running_code_and_the_dockerfile():
    files = contents()
    assert files["envport_protocol/messages.py"] == (REPOSITORY / "protocol/envport_protocol/messages.py").read_bytes()
    assert files["envport_registry/Dockerfile"] == (REPOSITORY / "Dockerfile").read_bytes()
    assert repack_wheel().dockerfile == files["envport_registry/Dockerfile"]


def test_every_file_is_in_the_record_with_its_hash_and_size():
    files = contents()
    record_path = next(name for name in files if name.endswith(".dist-info/RECORD"))
    rows = dict(line.split(",", 1) for line in files.pop(record_path).decode().splitlines())
    expected = {
        name: "sha256="
        + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        + f",{len(content)}"
        for name, content in files.items()
    }
    assert rows == expected | {record_path: ","}


def test_pip_installs_the_wheel_with_its_command(tmp_path):
    wheel = repack_wheel()
    path = tmp_path / wheel.file_name
    path.write_bytes(wheel.content)
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--no-index", "--target", str(target), str(path)], check=True, timeout=120)
    assert (target / "envport_registry" / "Dockerfile").read_bytes() == wheel.dockerfile
    assert (target / "bin" / "envport").is_file()
