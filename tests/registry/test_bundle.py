"""Packing, reading back and unpacking."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import socket
import tarfile

import pytest
from envport_protocol.errors import ProjectError
from envport_registry.bundle import pack, read_bundle, unpack, verify_folder
from envport_registry.errors import BundleError, DigestMismatchError, NoSpaceError, StorageError
from envport_registry.ustar import BundleLimits, Entry, write_tar

TOML = b'name = "toy"\nversion = "0.1.0"\nentry_point = "toy_env:ToyEnv"\n'


def names(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as opened:
        return opened.getnames()


def files(folder) -> dict[str, tuple[bytes, bool]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), os.access(path, os.X_OK) and path.stat().st_mode & 0o111 > 0)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_folder_comes_back_as_it_was(make_env, tmp_path):
    folder = make_env(files={"bin/run.sh": "#!/bin/sh\n", "data/ünïcode name.txt": "é", "empty.txt": ""})
    (folder / "bin/run.sh").chmod(0o700)
    bundle = pack(folder)
    unpack(bundle.tar, tmp_path / "out")
    assert files(tmp_path / "out") == files(folder)
    assert (tmp_path / "out/bin/run.sh").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out/empty.txt").stat().st_mode & 0o777 == 0o644
    assert pack(tmp_path / "out").digest == bundle.digest
    assert bundle.digest == "sha256:" + hashlib.sha256(bundle.tar).hexdigest()


def test_equal_files_give_equal_bytes_whatever_their_times_and_order(make_env):
    one = make_env(files={"b.txt": "b", "a.txt": "a", "a/c.txt": "c"})
    two = make_env(files={"a/c.txt": "c", "a.txt": "a", "b.txt": "b"})
    os.utime(two / "a.txt", (1, 1))
    (two / "a.txt").chmod(0o600)
    (two / "nothing in here").mkdir()
    assert pack(one).tar == pack(two).tar
    assert names(pack(one).tar) == ["a.txt", "a/c.txt", "b.txt", "envport.toml", "toy_env/__init__.py"]


def test_the_tar_is_byte_for_byte_what_pythons_tarfile_writes():
    long = "p" * 100 + "/" + "n" * 100
    entries = [Entry(long, b"1"), Entry("a.txt", b"x" * 513), Entry("run", b"", executable=True)]
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w:", format=tarfile.USTAR_FORMAT) as tar:
        for entry in sorted(entries, key=lambda entry: entry.path):
            info = tarfile.TarInfo(entry.path)
            info.size, info.mode = len(entry.content), 0o755 if entry.executable else 0o644
            tar.addfile(info, io.BytesIO(entry.content))
    blocks = expected.getvalue().rstrip(b"\0")
    written = write_tar(entries)
    assert written.rstrip(b"\0") == blocks
    assert len(written) % 512 == 0


def test_build_products_and_ignored_files_stay_out(make_env):
    left_out = [
        ".git/config",
        "toy_env/__pycache__/x.cpython-311.pyc",
        "stray.pyc",
        ".venv/bin/python",
        "dist/toy.whl",
        "notes/private.txt",
        "deep/down/big.bin",
        "top.log",
        ".env",
    ]
    kept = ["toy_env/dist/module.py", "deep/top.log"]
    folder = make_env(files=dict.fromkeys([*left_out, *kept], "x"))
    (folder / ".envportignore").write_text(
        "# comments and empty lines count for nothing\n\nnotes/\n*.bin\n/top.log\n.env\n"
    )
    assert names(pack(folder).tar) == sorted([".envportignore", "envport.toml", "toy_env/__init__.py", *kept])


def test_an_ignore_file_may_not_bring_files_back_or_drop_the_project_file(make_env):
    folder = make_env(files={".envportignore": "!keep.pyc\n"})
    with pytest.raises(BundleError, match="'!' is not understood"):
        pack(folder)
    (folder / ".envportignore").write_text("*.toml\n")
    with pytest.raises(BundleError, match=r"leaves out envport\.toml"):
        pack(folder)


@pytest.mark.parametrize("name", [".env", ".env.local", "toy_env/.netrc", ".pypirc", "keys/id_rsa"])
def test_a_file_that_usually_holds_secrets_is_refused(make_env, name):
    with pytest.raises(BundleError, match="usually holds secrets"):
        pack(make_env(files={name: "PASSWORD=1"}))


def test_an_example_of_an_env_file_is_packed(make_env):
    assert ".env.example" in names(pack(make_env(files={".env.example": "PASSWORD="})).tar)


def test_links_pipes_and_sockets_are_refused_by_name(make_env):
    for what, make in {
        "a symbolic link": lambda path: path.symlink_to("/etc/passwd"),
        "a device, a pipe or a socket": os.mkfifo,
    }.items():
        folder = make_env()
        make(folder / "odd")
        with pytest.raises(BundleError, match=f"odd' is {what}"):
            pack(folder)
    folder = make_env()
    (folder / "folder").symlink_to(folder / "toy_env", target_is_directory=True)
    with pytest.raises(BundleError, match="folder' is a symbolic link"):
        pack(folder)
    folder = make_env()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "sock"))
        with pytest.raises(BundleError, match="sock' is a device, a pipe or a socket"):
            pack(folder)


def test_names_that_do_not_travel_are_refused(make_env):
    with pytest.raises(BundleError, match="differ only in case"):
        pack(make_env(files={"Data.txt": "1", "data.txt": "2"}))
    with pytest.raises(BundleError, match="differ only in case or Unicode form"):
        pack(make_env(files={"caf\u00e9": "1", "cafe\u0301": "2"}))
    with pytest.raises(BundleError, match="backslash"):
        pack(make_env(files={"a\\b": "1"}))
    folder = make_env()
    (folder / os.fsdecode(b"latin-\xe9")).write_text("1")
    with pytest.raises(BundleError, match="not UTF-8"):
        pack(folder)


def test_limits_hold_while_packing(make_env):
    folder = make_env(files={"a.txt": "a" * 1000, "b.txt": "b"})
    size = len(pack(folder).tar)
    assert len(pack(folder, BundleLimits(max_bytes=size, max_files=4)).tar) == size
    with pytest.raises(BundleError, match=rf"makes a bundle of {size} bytes, at most {size - 1} are allowed"):
        pack(folder, BundleLimits(max_bytes=size - 1))
    with pytest.raises(BundleError, match="has 4 files, at most 3 are allowed"):
        pack(folder, BundleLimits(max_files=3))
    with pytest.raises(BundleError, match="too long"):
        pack(make_env(files={"n" * 101: "1"}))


def test_a_folder_without_a_project_file_is_no_environment(tmp_path):
    with pytest.raises(ProjectError, match=r"has no envport\.toml"):
        pack(tmp_path)


def test_a_bundle_needs_a_good_project_file():
    with pytest.raises(BundleError, match=r"has no envport\.toml at its top"):
        read_bundle(write_tar([Entry("folder/envport.toml", TOML)]))
    with pytest.raises(BundleError, match=r"^the bundle's envport\.toml: unknown key 'colour'"):
        read_bundle(write_tar([Entry("envport.toml", TOML + b'colour = "red"\n')]))
    assert read_bundle(write_tar([Entry("envport.toml", TOML)])).config.version == "0.1.0"


def test_unpacking_never_writes_over_what_is_there(make_env, tmp_path):
    bundle = pack(make_env())
    (tmp_path / "out").mkdir()
    unpack(bundle.tar, tmp_path / "out")
    (tmp_path / "out/toy_env/__init__.py").write_text("mine")
    with pytest.raises(StorageError, match="exists and is not an empty folder"):
        unpack(bundle.tar, tmp_path / "out")
    assert (tmp_path / "out/toy_env/__init__.py").read_text() == "mine"


def test_a_full_disk_leaves_nothing_behind(make_env, tmp_path, monkeypatch):
    bundle = pack(make_env(files={"z.txt": "z"}))
    written = []

    def write(path, content):
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        path.write_bytes(content)
        written.append(path)

    monkeypatch.setattr("envport_registry.bundle.write_file", write)
    with pytest.raises(NoSpaceError, match="no space left on the disk while unpacking the environment"):
        unpack(bundle.tar, tmp_path / "cache" / "out")
    assert len(written) == 1
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_verified_folder_gives_its_bundle(make_env, tmp_path):
    bundle = pack(make_env())
    unpack(bundle.tar, tmp_path / "out")
    assert verify_folder(tmp_path / "out", bundle.digest) == bundle


@pytest.mark.parametrize(
    "tamper",
    [
        lambda folder: (folder / "toy_env/__init__.py").write_text("evil"),
        lambda folder: (folder / "toy_env/__init__.py").chmod(0o755),
        lambda folder: (folder / "toy_env/__init__.py").unlink(),
        lambda folder: (folder / "toy_env/more.py").write_text("evil"),
        lambda folder: (folder / "stray.pyc").write_text("evil"),
        lambda folder: (folder / "sitecustomize.py").symlink_to("/etc/passwd"),
        lambda folder: (folder / ".env").write_text("A=1"),
    ],
    ids=["changed", "mode", "removed", "added", "ignored", "link", "secret"],
)
def test_any_change_of_a_cached_folder_is_found(make_env, tmp_path, tamper):
    bundle = pack(make_env())
    unpack(bundle.tar, tmp_path / "out")
    tamper(tmp_path / "out")
    with pytest.raises(DigestMismatchError) as caught:
        verify_folder(tmp_path / "out", bundle.digest)
    assert f"expected {bundle.digest}" in caught.value.message
    assert f"delete that folder and pull again, to change it use `--out`: {tmp_path / 'out'}" in caught.value.message
    assert caught.value.details["expected"] == bundle.digest
