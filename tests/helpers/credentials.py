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
