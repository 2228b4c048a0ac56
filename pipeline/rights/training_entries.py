"""Training assertions in a media file's content credentials (C2PA, CAWG) -> what they say of its use for training.

A C2PA manifest store is a tree of JUMBF boxes (ISO 19566-5): of MP4 and MOV in a top-level `uuid` box, of AVI and WAV
in a chunk `C2PA`, of MP3 and FLAC in a frame `GEOB` of the ID3v2 tag that the file begins with (C2PA 2.4, A.3.4), of
Matroska and WebM in an attachment of the store's media type (a working draft of C2PA, as contentauth's c2pa-rs reads
it in 2026). Each assertion is a box with a label; `cawg.training-mining` 1.1, which was `c2pa.training-mining`
up to C2PA 1.4, is a map of entries whose `use` is allowed, notAllowed or constrained. Other containers, compressed
manifests, unsynchronised ID3 tags, and manifests that a file only points to are not read.

Design note: no signature is verified. So an assertion can only refuse: whoever writes a permission into a file may not
be its owner, and a false refusal costs one video. `constrained` refuses, as the specification has it where no more is
known. An assertion of any manifest of the store counts, also of what the file was made from.
"""

import array
import struct
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cbor2

from pipeline.rights.statements import NOTHING, Statement, combine

STORE = uuid.UUID("d8fec3d6-1b0e-483c-9297-5828877ec481").bytes
LABELS = ("cawg.training-mining", "c2pa.training-mining")
TRAINING = ("ai_training", "ai_generative_training", "data_mining")  # after cawg. or c2pa.; ai_inference trains nothing
REFUSING = ("notAllowed", "constrained")
MAX_BOXES = 10_000  # visited in a file, so that a hostile one takes milliseconds
MAX_DEPTH = 8  # of boxes in boxes: store, manifest, assertions, assertion
MAX_ASSERTION, MAX_LABEL, MAX_CBOR_DEPTH = 1 << 12, 1 << 10, 16
MAX_CBOR = 1 << 16  # bytes decoded of a file
# Decimal fractions, big floats, rationals, patterns: made of the number or text in them in more than linear time, of
# 64 kB in a second; the number or text is taken as it is. An assertion has none of them.
COSTLY_TAGS = (4, 5, 30, 35)
TOO_MANY = Statement("unknown", "file, not readable")


MEDIA_TYPES = (b"application/c2pa", b"application/x-c2pa-manifest-store")  # of a manifest store; the second is older
# Elements of Matroska (RFC 9559) by their ids.
EBML, SEGMENT, ATTACHMENTS = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067"), bytes.fromhex("1941a469")
ATTACHED_FILE, MEDIA_TYPE, FILE_DATA = bytes.fromhex("61a7"), bytes.fromhex("4660"), bytes.fromhex("465c")


class Box(NamedTuple):
    """A box: what it is, and where its content lies in the file."""

    kind: bytes
    start: int
    end: int


def read_training_entries(path: Path) -> Statement:
    """What the assertions about training in a file say; NOTHING where there are none, or the file cannot be opened.

    A file of more than MAX_BOXES boxes says at least TOO_MANY: what is in the others is not known.
    """
    try:
        with path.open("rb") as file:

            def read(start: int, size: int) -> bytes:
                file.seek(start)
                return file.read(size)

            return read_entries(read, file.seek(0, 2))
    except OSError:
        return NOTHING


def read_entries(read: Callable[[int, int], bytes], size_bytes: int, max_boxes: int = MAX_BOXES) -> Statement:
    """What `read_training_entries` gives of a file, wherever it is.

    Args:
        read: the bytes from a place on, as many as are asked for or as there are.
        size_bytes: of the file.
        max_boxes: that are visited; each costs one or two reads.
    """
    return combine(_Store(read, size_bytes, max_boxes).statements())


class _Store:
    """The boxes of one file, of which some are visited, and MAX_CBOR bytes decoded, at most."""

    def __init__(self, read: Callable[[int, int], bytes], size_bytes: int, max_boxes: int) -> None:
        self._read, self._boxes_left, self._cbor_left = read, max_boxes, MAX_CBOR
        self._size = size_bytes

    def statements(self) -> Iterator[Statement]:
        head = self._read(0, 12)
        if head[:4] == b"RIFF":
            for kind, start, end in self._chunks():
                if kind == b"C2PA":
                    yield from self._assertions(self._boxes(start, end), 0)
        elif head[4:8] == b"ftyp":
            for kind, start, end in self._boxes(0, self._size):
                if kind == b"uuid" and self._read(start, 16) == STORE:
                    # version and flags, the purpose with a zero after it, and of a manifest an offset of 8 bytes
                    purpose, _, _ = self._read(start + 20, 16).partition(b"\0")
                    if purpose == b"manifest":
                        yield from self._assertions(self._boxes(start + 20 + len(purpose) + 1 + 8, end), 0)
        elif head[:3] == b"ID3":
            for start, end in self._stores_of_id3():
                yield from self._assertions(self._boxes(start, end), 0)
        elif head[:4] == EBML:
            for start, end in self._stores_of_matroska():
                yield from self._assertions(self._boxes(start, end), 0)
        if self._boxes_left < 0:
            yield TOO_MANY

    def _assertions(self, boxes: Iterable[Box], depth: int) -> Iterator[Statement]:
        """What the assertions about training in these JUMBF boxes and the boxes within say."""
        for kind, start, end in boxes:
            if kind != b"jumb" or depth > MAX_DEPTH:
                continue
            content = list(self._boxes(start, end))
            label = self._label(content[0]) if content and content[0].kind == b"jumd" else ""
            if label.partition("__")[0] in LABELS:  # a second one of a manifest has the label with __1
                yield from (self._statement(label, box) for box in content[1:] if box.kind == b"cbor")
            else:
                yield from self._assertions(content, depth + 1)

    def _label(self, box: Box) -> str:
        """Of a description box: a UUID, toggles of which the second bit says that a label follows, the label."""
        content = self._read(box.start, min(box.end - box.start, MAX_LABEL))
        if len(content) < 18 or not content[16] & 2:
            return ""
        return content[17:].partition(b"\0")[0].decode(errors="replace")

    def _statement(self, label: str, box: Box) -> Statement:
        label, size = label.partition("__")[0], box.end - box.start
        try:
            if size > min(MAX_ASSERTION, self._cbor_left):
                raise ValueError(f"{size} bytes")
            self._cbor_left -= size
            entries = _entries(_decode(self._read(box.start, size)))
        except (cbor2.CBORError, ValueError):
            return Statement("unknown", f"file {label}, not readable")
        uses = [use for name, use in entries.items() if name.rpartition(".")[2] in TRAINING]
        if any(use in REFUSING for use in uses):
            return Statement("no_train", f"file {label}")
        return Statement("unknown", f"file {label}, not verified")

    def _boxes(self, start: int, end: int) -> Iterator[Box]:
        """The boxes in a range of the file, up to the first that does not fit."""
        while start + 8 <= end and self._may_visit():
            head = self._read(start, 16)
            if len(head) < 8:
                return
            size, kind, header = int.from_bytes(head[:4], "big"), head[4:8], 8
            if size == 1 and len(head) == 16:
                size, header = int.from_bytes(head[8:], "big"), 16
            size = size or end - start  # 0: up to the end
            if size < header or start + size > end:
                return
            yield Box(kind, start + header, start + size)
            start += size

    def _chunks(self) -> Iterator[Box]:
        """The chunks of a RIFF file: little-endian, padded to an even length."""
        start = 12
        while start + 8 <= self._size and self._may_visit():
            kind, size = struct.unpack("<4sI", self._read(start, 8))
            if start + 8 + size > self._size:
                return
            yield Box(kind, start + 8, start + 8 + size)
            start += 8 + size + size % 2

    def _stores_of_id3(self) -> Iterator[tuple[int, int]]:
        """Begin and end of the manifest stores in an ID3v2.3 or 2.4 tag at the beginning of the file."""
        _, version, _, flags, size = struct.unpack(">3sBBB4s", self._read(0, 10).ljust(10, b"\0"))
        start, end = 10, min(10 + _synchsafe(size), self._size)
        if version not in (3, 4) or flags & 0x80:  # of another form, or with bytes put in between
            return
        length = _synchsafe if version == 4 else _plain
        if flags & 0x40:  # an extended header; the length of 2.3 leaves its own four bytes out
            start += length(self._read(start, 4)) + (0 if version == 4 else 4)
        while start + 10 <= end and self._may_visit():
            kind, size, form = struct.unpack(">4s4sxB", self._read(start, 10).ljust(10, b"\0"))
            start, stop = start + 10, start + 10 + length(size)
            if stop > end or not kind.strip(b"\0"):  # the rest is padding
                return
            if kind == b"GEOB" and not form:  # neither compressed nor encrypted
                head = self._read(start, min(stop - start, MAX_LABEL))
                media_type, _, texts = head[1:].partition(b"\0")
                if media_type in MEDIA_TYPES:
                    yield start + len(head) - len(_after_texts(texts, is_wide=head[0] in (1, 2))), stop
            start = stop

    def _stores_of_matroska(self) -> Iterator[tuple[int, int]]:
        """Begin and end of the manifest stores among the attachments of a Matroska file."""
        for segment in self._elements(0, self._size):
            for attachments in self._elements(segment.start, segment.end) if segment.kind == SEGMENT else ():
                for file in (
                    self._elements(attachments.start, attachments.end) if attachments.kind == ATTACHMENTS else ()
                ):
                    parts = {part.kind: part for part in self._elements(file.start, file.end)}
                    if file.kind == ATTACHED_FILE and {MEDIA_TYPE, FILE_DATA} <= parts.keys():
                        _, start, end = parts[MEDIA_TYPE]
                        if self._read(start, min(end - start, MAX_LABEL)).rstrip(b"\0") in MEDIA_TYPES:
                            yield parts[FILE_DATA].start, parts[FILE_DATA].end

    def _elements(self, start: int, end: int) -> Iterator[Box]:
        """The elements of EBML (RFC 8794) in a range of the file, up to the first that does not fit."""
        while start < end and self._may_visit():
            head = self._read(start, 12).ljust(12, b"\0")
            of_id = 9 - head[0].bit_length()
            if of_id > 4:
                return
            of_size = 9 - head[of_id].bit_length()
            mask = (1 << 7 * of_size) - 1
            size, begin = int.from_bytes(head[of_id : of_id + of_size], "big") & mask, start + of_id + of_size
            size = end - begin if size == mask else size  # unknown: up to the end
            if of_size > 8 or size < 0 or begin + size > end:
                return
            yield Box(head[:of_id], begin, begin + size)
            start = begin + size

    def _may_visit(self) -> bool:
        """Count one more box."""
        self._boxes_left -= 1
        return self._boxes_left >= 0


def _plain(size: bytes) -> int:
    return int.from_bytes(size, "big")


def _synchsafe(size: bytes) -> int:
    """Of four bytes the lower seven bits each."""
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(size)))


def _after_texts(data: bytes, is_wide: bool) -> bytes:
    """What follows two texts that end in a zero, of two bytes where characters have two."""
    width = 2 if is_wide else 1
    letters = array.array("H", data[: len(data) // 2 * 2]) if is_wide else data
    try:
        return data[width * (letters.index(0, letters.index(0) + 1) + 1) :]
    except ValueError:
        return b""


def _decode(content: bytes) -> Any:
    """What CBOR holds.

    Raises:
        cbor2.CBORError: it is no CBOR, or deeper than MAX_CBOR_DEPTH.
    """
    decoders = dict.fromkeys(COSTLY_TAGS, _untagged)
    return cbor2.loads(content, semantic_decoders=decoders, max_depth=MAX_CBOR_DEPTH, strict_hashable_types=True)


def _untagged(content: Any, is_immutable: bool) -> Any:
    return content


def _entries(found: Any) -> dict[str, Any]:
    """`use` by the name of each entry; a map without `entries` is the entries, as an earlier specification had it.

    Raises:
        ValueError: it is no map of maps.
    """
    entries = found.get("entries", found) if isinstance(found, dict) else None
    if not isinstance(entries, dict) or not all(isinstance(name, str) for name in entries):
        raise ValueError("no map of entries")
    return {name: entry.get("use") for name, entry in entries.items() if isinstance(entry, dict)}
