"""The one tar form that a bundle may have, written and read.

POSIX ustar, uncompressed, regular files only, sorted by path, owner 0, time 0, mode 0644 or 0755, no padding after the
two zero blocks. Equal files so give equal bytes on every machine and every Python, and a reader that accepts nothing
else leaves no room for links, devices, extended headers or names that differ from what is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from envport_registry.errors import BundleError
from envport_registry.paths import check_clashes, check_path

_BLOCK = 512
_END = bytes(2 * _BLOCK)
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a folder entry",
    b"6": "a named pipe",
    b"x": "an extended (pax) header",
    b"g": "a global (pax) header",
    b"L": "a GNU long name",
    b"K": "a GNU long link",
    b"S": "a GNU sparse file",
}
REMEDY = "publish the environment with `envport publish`"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a bundle."""

    path: str
    """Relative, with `/` between its parts."""
    content: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """How large a bundle may be. Packing, publishing and pulling hold the same ones."""

    max_bytes: int = 128 * 2**20
    """Of the tar. What is larger than this is data for a package index or a download, not an environment's code."""
    max_files: int = 10_000


def write_tar(entries: list[Entry]) -> bytes:
    """The tar of these files, the same bytes for the same files in any order. Paths must have been checked."""
    parts: list[bytes] = []
    for entry in sorted(entries, key=lambda entry: entry.path.encode()):
        parts += [_header(entry.path, len(entry.content), entry.executable), entry.content, _padding(entry.content)]
    return b"".join([*parts, _END])


def tar_size(sizes: list[int]) -> int:
    """How many bytes the tar of files with these sizes has."""
    return len(_END) + sum(_BLOCK + -(-size // _BLOCK) * _BLOCK for size in sizes)


def read_tar(tar: bytes, limits: BundleLimits) -> list[Entry]:
    """The files of a bundle, in order. What is returned gives exactly `tar` again when written.

    Raises:
        BundleError: not in the form above, over a limit, or a path that could leave its folder or hide another.
    """
    if len(tar) > limits.max_bytes:
        raise BundleError(f"the bundle has {len(tar)} bytes, at most {limits.max_bytes} are allowed")
    entries: list[Entry] = []
    offset = 0
    while (block := tar[offset : offset + _BLOCK]) != bytes(_BLOCK):
        entry = _read_entry(tar, block, offset)
        entries.append(entry)
        if len(entries) > limits.max_files:
            raise BundleError(f"the bundle has more than the {limits.max_files} files that are allowed")
        offset += tar_size([len(entry.content)]) - len(_END)
    check_clashes([entry.path for entry in entries])
    if tar[offset:] != _END or tar != write_tar(entries):
        raise BundleError(f"the tar is not in a bundle's form (order, owner, time or padding differ); {REMEDY}")
    return entries


def _read_entry(tar: bytes, block: bytes, offset: int) -> Entry:
    if len(block) < _BLOCK or block[257:263] != b"ustar\0":
        raise BundleError(f"the bundle is cut short or no ustar archive: no header at byte {offset}; {REMEDY}")
    name, prefix = _text(block[:100], offset), _text(block[345:500], offset)
    path = f"{prefix}/{name}" if prefix else name
    kind = block[156:157]
    if kind != b"0":
        raise BundleError(
            f"{path!r} is {_KINDS.get(kind, f'of the unknown kind {kind!r}')}: a bundle holds regular files only; "
            f"{REMEDY}"
        )
    check_path(path)
    size = _octal(block[124:136], path)
    content = tar[offset + _BLOCK : offset + _BLOCK + size]
    if len(content) < size:
        raise BundleError(f"the bundle is cut short: {path!r} should have {size} bytes, {len(content)} are there")
    executable = block[100:108] == b"0000755\0"
    if block != _header(path, size, executable):
        raise BundleError(f"the header of {path!r} is not in a bundle's form (mode, owner, time or checksum); {REMEDY}")
    return Entry(path, content, executable)


def _text(field: bytes, offset: int) -> str:
    try:
        return field.split(b"\0", 1)[0].decode()
    except UnicodeDecodeError as error:
        raise BundleError(f"the file name in the header at byte {offset} is not UTF-8; {REMEDY}") from error


def _octal(field: bytes, path: str) -> int:
    digits = field.rstrip(b"\0 ")
    if not digits or any(digit not in b"01234567" for digit in digits):
        raise BundleError(f"the size of {path!r} is no octal number: seen {field!r}; {REMEDY}")
    return int(digits, 8)


def _header(path: str, size: int, executable: bool) -> bytes:
    prefix, name = _split(path)
    fields = [
        name.ljust(100, b"\0"),
        b"0000755\0" if executable else b"0000644\0",
        b"0000000\0" * 2,
        b"%011o\0" % size,
        b"%011o\0" % 0,
        b" " * 8,
        b"0",
        bytes(100),
        b"ustar\x0000",
        bytes(32 + 32 + 8 + 8),
        prefix.ljust(155, b"\0"),
        bytes(12),
    ]
    header = b"".join(fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _split(path: str) -> tuple[bytes, bytes]:
    """The path as ustar's prefix (at most 155 bytes) and name (at most 100), cut at the first `/` that fits."""
    encoded = path.encode()
    if len(encoded) <= 100:
        return b"", encoded
    cut = encoded.find(b"/", len(encoded) - 101)
    if cut < 0 or cut > 155:
        raise BundleError(
            f"the path {path[:300]!r} is too long for a bundle: its last part may have 100 bytes, and what is before "
            "it 155; use shorter names"
        )
    return encoded[:cut], encoded[cut + 1 :]


def _padding(content: bytes) -> bytes:
    return bytes(-len(content) % _BLOCK)
