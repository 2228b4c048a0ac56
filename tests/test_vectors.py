"""Vectors of imported tables: read by clip, or refused with what is there in their place."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import ConfigError
from pipeline.outside.vectors import check_vectors, read_vectors
from pipeline.storage.workspace import Workspace
from tests.helpers.vectors import clip_ids, import_vectors, write_root, write_vectors


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return write_vectors(tmp_path_factory.mktemp("vectors") / "root")


def test_vectors_come_in_the_order_of_the_clips_and_nulls_are_clips_without_one(root: Workspace) -> None:
    part = root.parts("clips/base")[0]
    ids = clip_ids(root)[:6]
    plain = read_vectors(root, "clip.image", part, ids)
    turned = read_vectors(root, "clip.image", part, [*reversed(ids), "gone"])
    assert plain.is_there.tolist() == [True, True, True, False, True, True]
    assert turned.is_there.tolist() == [True, True, False, True, True, True, False]
    assert np.array_equal(turned.values, plain.values[::-1])
    assert plain.values.shape == (5, 6)
    assert plain.values.dtype == np.float32


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("clip", "expected an imported table and its column"),
        ("none.image", r"imported/name=none: nothing there yet"),
        ("clip.depth", "has the columns image, note, and no depth"),
        ("clip.note", "a column of string, expected vectors"),
    ],
)
def test_columns_that_are_no_vectors_are_named(root: Workspace, where: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_vectors(root, where, "base")


def test_vectors_of_another_clip_spec_and_of_clips_cut_later_are_refused(tmp_path: Path) -> None:
    workspace = write_root(tmp_path / "root", num_videos=4, num_parts=1)
    ids = clip_ids(workspace)
    import_vectors(workspace, "clip", pa.table({"clip_id": ids, "image": [[1.0]] * len(ids)}))
    with pytest.raises(ConfigError, match=r"clip\.image: of clips/base, expected those of clips/events"):
        check_vectors(workspace, "clip.image", "events")
    with pytest.raises(ConfigError, match="no part 00007, whose clips were cut after the import"):
        read_vectors(workspace, "clip.image", "00007", ids)
