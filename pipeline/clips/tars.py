"""WebDataset tars whose bytes depend on their content alone: write, read one sample by offset, read in sequence.

A sample is the run of members `<key>.<suffix>` that share a key. Keys hold no dot, headers are fixed (mtime 0, no
owner), suffixes are sorted. Any WebDataset reader, or plain `tar`, reads the result. A name of more than 100 bytes does
not fit a header, and takes a further one (pax, POSIX.1-2001): names come from a collection's ids, which may be long.
"""

import io
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.storage import files
from pipeline.storage.workspace import damaged_tar

KEY = re.compile(r"[a-z0-9_-]{1,200}")
BLOCK_BYTES = 512
COPY_BYTES = 1 << 22  # of a member at a time: 16 kB, as tarfile has it, are 32 writes for half a MB of features
END_BYTES = 2 * BLOCK_BYTES
TAIL_BYTES = 16 * BLOCK_BYTES  # a clip's JSON takes 1 kB, and more with columns of its collection
# fields of the headers that `TarWriter` writes
PLAIN_NAME, OCTAL, CHECKSUM = re.compile(rb"[\w.-]+"), re.compile(rb"[0-7]{11}\0"), re.compile(rb"[0-7]{6}\0 ")


class TarWriter:
    """Writes samples to a local file. Use it inside `storage.building`: an error then leaves no tar at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = files.open_patiently(path)
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT, copybufsize=COPY_BYTES)

    def add(self, key: str, members: dict[str, bytes]) -> tuple[int, int]:
        """Append one sample; return its offset and length in bytes.

        Args:
            key: lower-case letters, digits, _ and - only: a dot would end the key early.
            members: content by suffix, such as {"flac": ..., "0.jpg": ...}.
        """
        if not KEY.fullmatch(key):
            raise ValueError(f"key {key!r}: expected 1 to 200 of a-z, 0-9, _ and -.")
        offset = self._tar.offset
        for suffix in sorted(members):
            header = tarfile.TarInfo(f"{key}.{suffix}")
            header.size, header.mode, header.mtime = len(members[suffix]), 0o444, 0
            self._tar.addfile(header, io.BytesIO(members[suffix]))
        self._tar.members.clear()  # type: ignore[attr-defined]  # else it keeps every header: 4 kB per clip
        return offset, self._tar.offset - offset

    @property
    def size_bytes(self) -> int:
        """Length of the samples so far."""
        return self._tar.offset

    def truncate(self, size_bytes: int) -> None:
        """Drop the samples from this offset on."""
        self._file.seek(size_bytes)  # writes what is buffered
        os.truncate(self._path, size_bytes)
        self._tar.offset = size_bytes

    def __enter__(self) -> "TarWriter":
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._tar.close()


def parse_sample(data: bytes, uri: str, what: str) -> tuple[str, dict[str, bytes]]:
    """The key and members of the one sample that `data` holds.

    Args:
        data: of the tar, from the sample's first header to the end of its last member.
        uri: the tar's address, for messages.
        what: the sample's key or offset, for messages.
    Raises:
        DataError: the bytes are not one whole sample.
    """
    plain = _plain_members(data)
    if plain is not None:
        return plain
    members: dict[str, bytes] = {}
    keys = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for header in tar:
                key, _, suffix = header.name.partition(".")
                file = tar.extractfile(header) if header.isreg() else None
                if file is None:
                    raise damaged_tar(uri, f"{what}: member {header.name} is no file.")
                members[suffix] = file.read()
                keys.add(key)
                if len(members[suffix]) != header.size:
                    raise damaged_tar(uri, f"{what}: member {header.name} is truncated.")
            if tar.offset != len(data):  # tarfile takes a damaged header, unless it is the first, for the end
                raise damaged_tar(uri, f"{what}: the header at byte {tar.offset} is damaged.")
    except tarfile.TarError as error:
        raise damaged_tar(uri, f"{what}: not a whole sample ({error}).") from error
    if len(keys) != 1:
        raise damaged_tar(uri, f"{what}: {len(keys)} keys, expected 1.")
    return keys.pop(), members


def read_last(uri: str, offset: int, length: int, name: str) -> bytes:
    """The last member of a sample, such as `<key>.json`, without reading the others where it is short.

    Args:
        uri: the tar's address.
        offset, length: of the sample.
        name: of the member.
    Raises:
        DataError: the sample is damaged, or has no such member.
    """
    tail = files.read_bytes(uri, offset + max(0, length - TAIL_BYTES), min(length, TAIL_BYTES))
    for begin in range(len(tail) % BLOCK_BYTES, len(tail), BLOCK_BYTES):
        if tail.startswith(name.encode() + b"\0", begin):
            plain = _plain_members(tail[begin:])
            if plain is not None and len(plain[1]) == 1:
                return next(iter(plain[1].values()))
    key, _, suffix = name.partition(".")
    members = parse_sample(files.read_bytes(uri, offset, length), uri, key)[1]
    if suffix not in members:
        raise damaged_tar(uri, f"{key}: no member {suffix}.")
    return members[suffix]


def _plain_members(data: bytes) -> tuple[str, dict[str, bytes]] | None:
    """What `parse_sample` gives of whole members with one key and plain ASCII names, in a third of tarfile's time.

    None for anything else, such as further headers of long names and damage: tarfile reads it, or finds what is wrong.
    """
    members: dict[str, bytes] = {}
    keys, offset = set(), 0
    while offset < len(data):
        header = data[offset : offset + BLOCK_BYTES]
        name, size, checksum = header[:100].rstrip(b"\0"), header[124:136], header[148:156]
        is_plain = PLAIN_NAME.fullmatch(name) and OCTAL.fullmatch(size) and CHECKSUM.fullmatch(checksum)
        if not is_plain or header[156:157] != tarfile.REGTYPE or header[257:263] != b"ustar\0" or any(header[345:]):
            return None
        if sum(header) - sum(checksum) + 8 * ord(" ") != int(checksum[:6], 8):  # POSIX: as if it were blanks
            return None
        begin = offset + BLOCK_BYTES
        end = begin + int(size[:11], 8)
        offset = end + -end % BLOCK_BYTES
        key, _, suffix = name.decode().partition(".")
        members[suffix] = data[begin:end]
        keys.add(key)
    return (keys.pop(), members) if len(keys) == 1 and offset == len(data) else None


def read_sequence(
    path: Path, expected_keys: list[str], uri: str | None = None
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Every sample of a tar, in order, read by webdataset; members by suffix.

    Args:
        path: a local tar.
        expected_keys: the keys that the part's rows promise, in order.
        uri: the tar's address for messages, where `path` is a copy of it.
    Raises:
        DataError: the tar holds other samples, or fewer: a tar cut at a block boundary reads without any error.
    """
    import webdataset  # here, because it imports torch: 2 s and 200 MB that a worker which only writes can save

    uri = uri or str(path)
    with path.open("rb") as file:  # whole tars end in two blocks of zeros: a cut within the last sample shows here only
        file.seek(-min(END_BYTES, path.stat().st_size), io.SEEK_END)
        if file.read() != bytes(END_BYTES):
            raise damaged_tar(uri, "the tar is truncated.")
    found = 0
    try:
        for sample in webdataset.WebDataset(str(path), shardshuffle=False, nodesplitter=None, empty_check=False):
            key = sample["__key__"]
            if found >= len(expected_keys) or key != expected_keys[found]:
                raise damaged_tar(uri, f"sample {found} is {key}, which is not what the part's rows promise.")
            found += 1
            yield key, {name: value for name, value in sample.items() if not name.startswith("__")}
    except tarfile.TarError as error:
        raise damaged_tar(uri, f"not a whole tar ({error}).") from error
    if found != len(expected_keys):
        raise damaged_tar(uri, f"{found} samples, expected {len(expected_keys)}.")
