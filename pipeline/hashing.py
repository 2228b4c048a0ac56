"""Names and numbers that follow from content: equal content has an equal one, on any machine."""

import dataclasses
import hashlib
import json
from typing import Any


def as_dict(config: Any) -> dict[str, Any]:
    """A config, or a dict that holds configs, as plain JSON types."""
    return json.loads(json.dumps(config, default=dataclasses.asdict))


def hash_json(value: Any) -> str:
    """12 hex digits of sha256 over the canonical JSON of `value`."""
    return hash_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def hash_bytes(data: bytes) -> str:
    """12 hex digits of sha256 over the bytes."""
    return hashlib.sha256(data).hexdigest()[:12]


def hash_text(text: str) -> int:
    """A number from 0 to 2**64 - 1 that looks random and depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
