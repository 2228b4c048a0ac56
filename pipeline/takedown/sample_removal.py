"""A tar without some of its samples: the bytes of the others are copied as they are, one after the other.

What is written is what `clips.tars.TarWriter` would have written of the samples that stay.
"""

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pipeline.clips.tars import BLOCK_BYTES, END_BYTES
from pipeline.storage import files
from pipeline.storage.workspace import damaged_tar

COPY_BYTES = 1 << 22


class Member(NamedTuple):
    """One file in a tar."""

    name: str
    offset: int
    """Where its first header begins."""
    end: int
    data_offset: int
    size_bytes: int


def list_members(path: Path, uri: str) -> Iterator[Member]:
    """The members of a local tar, in order, without reading their content; `uri` is its address, for messages.

    Raises:
        DataError: it is no whole tar.
    """
    try:
        with tarfile.open(path, mode="r:") as tar:
            while (header := tar.next()) is not None:
                end = header.offset_data + -(-header.size // BLOCK_BYTES) * BLOCK_BYTES
                yield Member(header.name, header.offset, end, header.offset_data, header.size)
    except tarfile.TarError as error:
        raise damaged_tar(uri, f"not a whole tar ({error}).") from error


def remove_samples(uri: str, is_theirs: Callable[[str], bool]) -> bool:
    """Put a tar without the samples of some keys in the place of one with them; return whether there were any.

    Raises:
        DataError: it is damaged.
    """
    with files.local_copy(uri) as path:
        members = list(list_members(path, uri))
        kept = [member for member in members if not is_theirs(member.name.partition(".")[0])]
        if len(kept) == len(members):
            return False
        with files.building(uri) as target, files.open_patiently(target) as out, path.open("rb") as source:
            for begin, end in _joined(kept):
                source.seek(begin)
                _copy(source, out, end - begin)
            size = sum(end - begin for begin, end in _joined(kept))
            out.write(bytes(END_BYTES + -(size + END_BYTES) % tarfile.RECORDSIZE))
        return True


def _joined(members: list[Member]) -> Iterator[tuple[int, int]]:
    """The ranges of members, those that follow one another as one."""
    begin, end = 0, 0
    for member in members:
        if member.offset != end:
            if end > begin:
                yield begin, end
            begin = member.offset
        end = member.end
    if end > begin:
        yield begin, end


def _copy(source: BinaryIO, out: object, length: int) -> None:
    while length:
        data = source.read(min(COPY_BYTES, length))
        if not data:
            raise EOFError("the tar ended while it was copied")
        out.write(data)  # type: ignore[attr-defined]
        length -= len(data)
