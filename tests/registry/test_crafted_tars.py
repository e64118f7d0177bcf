"""Tars that no honest publish makes: each is refused, and nothing is written outside or inside its folder."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest
from envport_registry.bundle import pack, unpack
from envport_registry.errors import BundleError
from envport_registry.ustar import BundleLimits, Entry, read_tar, write_tar


def crafted(*members: tuple[str, dict[str, object]], form=tarfile.USTAR_FORMAT) -> bytes:
    """A tar by Python's tarfile; each member is its name, and what is odd about its header."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=form) as tar:
        for name, odd in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o644
            for key, value in odd.items():
                setattr(info, key, value)
            content = b"x" if info.isreg() else b""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize(
    ("tar", "says"),
    [
        (crafted(("/etc/passwd", {})), "is absolute"),
        (crafted(("../evil.py", {})), "has a part '..'"),
        (crafted(("a/../../evil.py", {})), "has a part '..'"),
        (crafted(("a//b", {})), "or nothing"),
        (crafted(("./a", {})), "has a part '..', '.'"),
        (crafted(("a\\..\\evil", {})), "backslash"),
        (crafted(("a\nb", {})), "control character"),
        (crafted((".env", {})), "secrets"),
        (crafted(("link", {"type": tarfile.SYMTYPE, "linkname": "/etc"})), "'link' is a symbolic link"),
        (crafted(("hard", {"type": tarfile.LNKTYPE, "linkname": "a"})), "'hard' is a hard link"),
        (crafted(("null", {"type": tarfile.CHRTYPE})), "'null' is a character device"),
        (crafted(("disk", {"type": tarfile.BLKTYPE})), "'disk' is a block device"),
        (crafted(("pipe", {"type": tarfile.FIFOTYPE})), "'pipe' is a named pipe"),
        (crafted(("folder", {"type": tarfile.DIRTYPE})), "is a folder entry"),
        (crafted(("a", {"type": b"7"})), "unknown kind b'7'"),
        (crafted(("a", {}), ("a", {})), "stands twice"),
        (crafted(("A.txt", {}), ("a.txt", {})), "'A.txt' and 'a.txt' differ only in case"),
        (crafted(("Src/a", {}), ("src/b", {})), "'Src' and 'src' differ only in case"),
        (crafted(("a", {}), ("a/b", {})), "'a' is a file and 'a' a folder"),
        (crafted(("b", {}), ("a", {})), "not in a bundle's form (order"),
        (crafted(("a", {"mode": 0o4755})), "header of 'a' is not in a bundle's form"),
        (crafted(("a", {"uid": 1000})), "header of 'a' is not in a bundle's form"),
        (crafted(("a", {"mtime": 1})), "header of 'a' is not in a bundle's form"),
        (crafted(("ä" * 100, {}), form=tarfile.PAX_FORMAT), "an extended (pax) header"),
        (crafted(("n" * 300, {}), form=tarfile.GNU_FORMAT), "no ustar archive"),
        (gzip.compress(write_tar([Entry("a", b"x")])), "no ustar archive"),
        (b"", "cut short or no ustar archive: no header at byte 0"),
        (b"<html>", "no ustar archive"),
        (write_tar([Entry("a", b"x")])[:-512], "not in a bundle's form"),
        (write_tar([Entry("a", b"x")]) + bytes(512), "not in a bundle's form"),
        (write_tar([Entry("a", b"x")]) + b"tail", "not in a bundle's form"),
        (write_tar([Entry("a", b"x" * 2000)])[:1024], "'a' should have 2000 bytes, 512 are there"),
        (write_tar([Entry("a", b"x")])[:512] + b"x" + b"y" * 511 + bytes(1024), "not in a bundle's form (order"),
    ],
)
def test_a_crafted_tar_is_refused(tmp_path, tar, says):
    with pytest.raises(BundleError) as caught:
        unpack(tar, tmp_path / "cache" / "out")
    assert says in caught.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("at", "bytes_there"),
    [
        (100, b"0000744\0"),
        (124, b"00000000009\0"),
        (124, b"-0000000001\0"),
        (124, b"\x80" + b"\0" * 11),
        (148, b"000000\0 "),
    ],
    ids=["mode", "no octal", "negative", "base 256", "checksum"],
)
def test_a_changed_header_field_is_refused(at, bytes_there):
    tar = bytearray(write_tar([Entry("a", b"x")]))
    tar[at : at + len(bytes_there)] = bytes_there
    with pytest.raises(BundleError):
        read_tar(bytes(tar), BundleLimits())


def test_a_name_that_is_no_utf8_is_refused():
    tar = bytearray(write_tar([Entry("a", b"x")]))
    tar[0:1] = b"\xff"
    with pytest.raises(BundleError, match="is not UTF-8"):
        read_tar(bytes(tar), BundleLimits())


def test_limits_hold_while_reading():
    tar = write_tar([Entry("a", b"x"), Entry("b", b"y")])
    assert [entry.path for entry in read_tar(tar, BundleLimits(max_bytes=len(tar), max_files=2))] == ["a", "b"]
    with pytest.raises(BundleError, match=r"has 3072 bytes, at most 3071 are allowed"):
        read_tar(tar, BundleLimits(max_bytes=3071))
    with pytest.raises(BundleError, match="more than the 1 files"):
        read_tar(tar, BundleLimits(max_files=1))


def test_what_packing_writes_is_read_back(make_env):
    bundle = pack(make_env(files={"p" * 90 + "/" + "n" * 90: "long"}))
    assert write_tar(read_tar(bundle.tar, BundleLimits())) == bundle.tar
