"""One clip that was cut: its row, the members of its sample if it is kept, and its place in the tar of its part."""

import dataclasses
import json
from typing import Any

from pipeline.clips.pictures import Shown
from pipeline.clips.tars import TarWriter
from schemas.samples import ClipFacts


@dataclasses.dataclass(frozen=True, slots=True)
class CutClip:
    """One clip of a planned span: its row, and its tar members if it is kept."""

    spec: str
    """Name of its clip spec."""
    row: dict[str, Any]
    members: dict[str, bytes] | None
    track: dict[str, Any] | None = None
    """Its row of `schemas.tracks.TRACKS`, if it follows a face."""

    def write(self, tar: TarWriter) -> dict[str, Any]:
        """Write the members, if there are any; return the row with their place in the tar."""
        offset, size_bytes = tar.add(self.row["clip_id"], self.members) if self.members is not None else (None, None)
        return self.row | {"tar_offset": offset, "tar_bytes": size_bytes}


def clip_members(facts: ClipFacts, shown: Shown, flac: bytes) -> dict[str, bytes]:
    """The members of a kept clip's sample, by the endings of their names.

    Args:
        facts: of its JSON, beside those of what it shows.
        shown: what it shows.
        flac: its sound.
    """
    members = {f"{k}.jpg": jpeg for k, jpeg in enumerate(shown.jpegs)}
    members["flac"] = flac
    members["json"] = json.dumps(facts | shown.facts, sort_keys=True).encode()
    return members
