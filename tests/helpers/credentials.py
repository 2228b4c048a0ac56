"""Content credentials with assertions about training, as C2PA and CAWG lay them out: built here byte by byte."""

import struct

import cbor2

STORE = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
TAIL = bytes.fromhex("00110010800000aa00389b71")  # ends the UUIDs of JUMBF content types
MP4 = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 512, b"mp42")


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def jumb(kind: bytes, label: str, *content: bytes) -> bytes:
    return box(b"jumb", box(b"jumd", kind + TAIL + b"\x03" + label.encode() + b"\0") + b"".join(content))


def store(*assertions: bytes) -> bytes:
    """A store of two manifests, the assertions in the first: that of what the file was made from."""
    other = jumb(b"cbor", "c2pa.actions", box(b"cbor", cbor2.dumps({"actions": []})))
    first, last = (jumb(b"c2ma", f"urn:c2pa:{number}", jumb(b"c2as", "c2pa.assertions", *found))
                   for number, found in enumerate((assertions, (other,))))  # fmt: skip
    return jumb(b"c2pa", "c2pa", first, last)


def entries(label: str = "cawg.training-mining", **uses: str) -> bytes:
    prefix = label.partition(".")[0]
    value = {"entries": {f"{prefix}.{name}": {"use": use} for name, use in uses.items()}}
    return jumb(b"cbor", label, box(b"cbor", cbor2.dumps(value)))


def in_mp4(found: bytes) -> bytes:
    return box(b"uuid", STORE + bytes(4) + b"manifest\0" + bytes(8) + found)


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def in_id3(found: bytes, version: int = 4, media_type: bytes = b"application/c2pa", texts: bytes = b"") -> bytes:
    """An ID3v2 tag: a title, an object of another kind, the store, padding."""

    def frame(kind: bytes, content: bytes) -> bytes:
        size = synchsafe(len(content)) if version == 4 else struct.pack(">I", len(content))
        return kind + size + bytes(2) + content

    store_of = media_type + b"\0" + (texts or b"c2pa\0c2pa manifest store\0") + found
    other = frame(b"GEOB", b"\x00image/png\0a\0b\0" + found)
    object_ = frame(b"GEOB", (b"\x01" if texts else b"\x00") + store_of)
    frames = frame(b"TIT2", b"\x03" + b"a" * 200) + other + object_ + bytes(30)
    return b"ID3" + bytes([version, 0, 0]) + synchsafe(len(frames)) + frames


def element(kind: str, content: bytes, of_size: int = 8) -> bytes:
    """An element of EBML, its size in so many bytes."""
    return bytes.fromhex(kind) + (len(content) | 1 << 7 * of_size).to_bytes(of_size, "big") + content


def in_matroska(found: bytes, media_type: bytes = b"application/c2pa") -> bytes:
    """A file with a cluster and two attachments."""
    files = [
        element("61a7", element("466e", b"a", 1) + element("4660", kind, 1) + element("465c", found, 4))
        for kind in (b"font/ttf", media_type)
    ]
    segment = element("1f43b675", bytes(40), 1) + element("1941a469", b"".join(files))
    return element("1a45dfa3", element("4282", b"webm", 1), 1) + element("18538067", segment)
