"""Clips of a part in the order of its tar, in batches; damaged ones are set aside."""

import pytest
from conftest import World

from pipeline.errors import DataError
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.reading import read_clips
from schemas.clips import CLIPS


def keys_of(workspace: Workspace) -> list[str]:
    return workspace.read(CLIPS_FOLDER, "00000", CLIPS)["clip_id"].to_pylist()


def test_every_clip_comes_once_in_order_in_batches(world: World) -> None:
    keys, damaged = keys_of(world.workspace), dict[str, DataError]()
    batches = list(read_clips(world.workspace, CLIPS_FOLDER, "00000", keys, 7, damaged))
    assert [len(batch) for batch in batches] == [7, 7, 7, 3]
    assert [clip.key for batch in batches for clip in batch] == keys
    assert not damaged


def test_a_damaged_clip_is_set_aside_and_a_part_of_damaged_clips_is_an_error(workspace: Workspace) -> None:
    keys, uri = keys_of(workspace), workspace.tar_uri(CLIPS_FOLDER, "00000")
    data = bytearray(files.read_bytes(uri))
    places = {row["clip_id"]: row["tar_offset"] for row in workspace.read(CLIPS_FOLDER, "00000", CLIPS).to_pylist()}

    def read(*bad: str) -> tuple[list[str], list[str]]:
        for key in bad:
            data[data.index(b"fLaC", places[key])] ^= 0x5A
        files.commit_bytes(uri, bytes(data))
        damaged: dict[str, DataError] = {}
        whole = [clip.key for batch in read_clips(workspace, CLIPS_FOLDER, "00000", keys, 4, damaged) for clip in batch]
        return whole, list(damaged)

    assert read(keys[1]) == ([key for key in keys if key != keys[1]], [keys[1]])
    with pytest.raises(DataError, match=rf"00000\.tar: {keys[0]}: "):
        read(keys[0], *keys[2:])
