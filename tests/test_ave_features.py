"""AVE's published features: each row at its line's name, split and event; what is wrong, before anything is written."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from jobs.cli import main
from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError
from pipeline.features.feature_samples import FeatureClip, decode
from pipeline.features.feature_sets import load_features
from pipeline.ingest.ave_features import STAGE, AveFeatures
from pipeline.storage import files
from pipeline.storage.layout import SPANS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.features import FEATURES, LEAKED
from schemas.spans import SPANS
from tests.helpers.ave import LINES, ORDERS, write_ave, write_h5


@pytest.fixture
def ave(tmp_path: Path) -> Path:
    write_ave(tmp_path / "ave")
    return tmp_path / "ave"


def ingest(folder: Path, root: Path, *options: str) -> int:
    return main(["-q", "ingest", "ave", str(folder), "--root", str(root), *options])


def read(root: Path) -> tuple[list[dict], list[FeatureClip], list[dict]]:
    """The rows of features, their samples, and the rows of spans."""
    from pipeline.clips.tars import parse_sample

    workspace = Workspace(str(root))
    rows, clips = [], []
    for part in workspace.parts(STAGE):
        uri = workspace.tar_uri(STAGE, part)
        for row in workspace.read(STAGE, part, FEATURES).to_pylist():
            data = files.read_bytes(uri, row["tar_offset"], row["tar_bytes"])
            key, members = parse_sample(data, uri, row["clip_id"])
            assert key == row["clip_id"]
            rows.append(row)
            clips.append(decode(key, members, uri))
    return rows, clips, workspace.read_all(SPANS_FOLDER, SPANS).to_pylist()


def everything(root: Path) -> dict[str, bytes]:
    paths = (path for path in (root / "tables").rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in (*paths, *(root / "features").rglob("*.tar"))}


def test_each_row_has_the_features_the_name_the_split_and_the_event_of_its_line(
    ave: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(ave, tmp_path / "root") == 0
    output = capsys.readouterr().out
    assert "1 video is in several splits (1 rows moved out of test): goat1234567 (train, test)" in output
    assert "6 clips" in output
    assert "labels agree with labels.h5" in output
    rows, clips, spans = read(tmp_path / "root")
    names = ["dog-1_AbCde", "goat1234567", "goat1234567#2", "none1234567", "bus12345678", "last1234567"]
    assert [row["video_id"] for row in rows] == names
    assert [row["split"] for row in rows] == ["train", "train", LEAKED, "train", "test", "validate"]
    assert {tuple(row[name] for name in ("num_segments", "num_cells", "visual_dim", "audio_dim")) for row in rows} == {
        (10, 4, 3, 4)
    }
    with h5py.File(ave / "visual_feature.h5") as visual, h5py.File(ave / "audio_feature.h5") as audio:
        for number, clip in enumerate(clips):
            assert clip.facts == {"clip_id": clip.key, "video_id": names[number], "start_s": 0.0}
            assert np.array_equal(clip.visual, visual["avadataset"][number].reshape(10, 4, 3))
            assert np.array_equal(clip.audio, audio["avadataset"][number])
    assert [(row["video_id"], row["start_s"], row["end_s"], row["category"], row["source"]) for row in spans] == [
        (name, float(start), float(end), category, "Annotations.txt")
        for name, (category, _, _, start, end) in zip(names, (line.split("&") for line in LINES), strict=True)
    ]


def test_training_draws_the_clips_of_its_split_and_the_labels_of_their_own_line(ave: Path, tmp_path: Path) -> None:
    assert ingest(ave, tmp_path / "root") == 0
    workspace = Workspace(str(tmp_path / "root"))
    splits = ("train", "validate", "test", LEAKED)
    found = load_features(workspace, "ave", splits, SplittingConfig(), workspace.parts(STAGE), "events")
    rows = {
        split: {r["video_id"]: r for r in clips.rows.to_pylist()} for split, clips in zip(splits, found, strict=True)
    }
    assert {split: list(names) for split, names in rows.items()} == {
        "train": ["dog-1_AbCde", "goat1234567", "none1234567"],
        "validate": ["last1234567"],
        "test": ["bus12345678"],
        LEAKED: ["goat1234567#2"],
    }
    assert rows["train"]["goat1234567"]["categories"] == [None] * 2 + ["Goat"] * 3 + [None] * 5
    assert rows[LEAKED]["goat1234567#2"]["categories"] == [None] + ["Bark"] * 3 + [None] * 6
    none = rows["train"]["none1234567"]
    assert (none["categories"], none["tag"], none["is_labelled"]) == ([None] * 10, "Bark", True)


def test_the_splits_may_be_left_as_published_and_come_from_the_lists_of_lines_too(ave: Path, tmp_path: Path) -> None:
    for name, numbers in ORDERS.items():
        (ave / f"{name}_order.h5").unlink()
        lines = [LINES[number] for number in numbers]
        (ave / f"{name}Set.txt").write_text("\n".join(["Category&VideoID&Quality&Start&End", *lines]))
    assert ingest(ave, tmp_path / "root", "--as-published") == 0
    rows, _, _ = read(tmp_path / "root")
    assert [row["split"] for row in rows] == ["train", "train", "test", "train", "test", "validate"]


def test_what_is_ingested_again_stays_as_it_is_and_other_files_are_refused(
    ave: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(ave, tmp_path / "root") == 0
    before = everything(tmp_path / "root")
    assert ingest(ave, tmp_path / "root") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert ingest(ave, tmp_path / "other") == 0
    assert everything(tmp_path / "root") == before == everything(tmp_path / "other")
    assert ingest(ave, tmp_path / "root", "--as-published") == 2
    assert "holds work of other settings or inputs (as_published" in capsys.readouterr().err


def test_a_command_that_was_killed_while_it_moved_parts_ends_with_the_same_bytes(ave: Path, tmp_path: Path) -> None:
    write_h5(ave / "visual_feature_noisy.h5", "avadataset", np.full((3, 10, 2, 2, 3), 5.0))
    write_h5(ave / "audio_feature_noisy.h5", "avadataset", np.full((3, 10, 4), 6.0))
    assert ingest(ave, tmp_path / "root") == 0
    before = everything(tmp_path / "root")
    workspace = Workspace(str(tmp_path / "root"))
    assert workspace.parts(STAGE) == ["00000", "00001"]
    files.delete(workspace.part_uri(STAGE, "00001"))  # the tar and the spans of the part came first
    for stage in (STAGE, SPANS_FOLDER):
        record = {name: fact for name, fact in workspace.stage(stage).items() if name != "finished"}
        files.commit_bytes(workspace.record_uri(stage), json.dumps(record).encode())
    assert ingest(ave, tmp_path / "root") == 0
    assert everything(tmp_path / "root") == before
    assert workspace.is_finished(STAGE)


def test_rows_of_noise_are_training_clips_without_an_event(ave: Path, tmp_path: Path) -> None:
    write_h5(ave / "visual_feature_noisy.h5", "avadataset", np.full((90, 10, 2, 2, 3), 5.0))
    write_h5(ave / "audio_feature_noisy.h5", "avadataset", np.full((90, 10, 4), 6.0))
    write_h5(ave / "labels_noisy.h5", "avadataset", np.tile([0.0, 0, 0, 1], (90, 1)))
    assert ingest(ave, tmp_path / "root") == 0
    rows, clips, spans = read(tmp_path / "root")
    assert Counter(row["split"] for row in rows) == {"train": 93, "test": 1, LEAKED: 1, "validate": 1}
    assert len({row["clip_id"] for row in rows}) == 96
    assert (clips[-1].visual.max(), clips[-1].audio.min()) == (5, 6)
    assert [(row["start_s"], row["end_s"], row["category"]) for row in spans[6:]] == [(0, 0, "")] * 90
    assert Workspace(str(tmp_path / "root")).stage(STAGE)["labels"] == ["labels.h5", "labels_noisy.h5"]


def test_the_published_annotations_are_read_split_and_rebuilt_with_generated_features(
    shared_media: Path, tmp_path: Path
) -> None:
    lines = (shared_media / "labels" / "AVE_Annotations.txt").read_text().splitlines()
    numbers = np.random.default_rng(0).permutation(len(lines))
    orders = {"train": numbers[:3339], "val": numbers[3339:3741], "test": numbers[3741:]}
    write_ave(tmp_path / "ave", lines, orders, (1, 1, 1), 1)
    found = AveFeatures(tmp_path / "ave")
    assert found.labels == ["labels.h5"]  # one-hot of whole seconds: written here, not by what is tested
    facts = found.facts()
    assert facts["splits"]["train"] == 3339
    assert facts["splits"]["test"] + facts["splits"][LEAKED] == facts["splits"]["validate"] == 402
    ids = [line.split("&")[1] for line in lines]
    of_id: dict[str, set[str]] = {name: set() for name in ids}
    for split, rows in orders.items():
        for row in rows:
            of_id[ids[row]].add(split)
    assert found.lists.leaks.keys() == {name for name, splits in of_id.items() if len(splits) > 1}
    assert len(found.lists.leaks) > 5
    moved = [row for row in orders["test"] if len(of_id[ids[row]]) > 1]
    assert facts["splits"][LEAKED] == facts["num_moved"] == len(moved) > 0
    names = [row.name for row in found.lists.rows]
    assert len(set(names)) == 4143
    assert sum("#2" in name for name in names) == 45


# --- what is wrong ---


def change(name: str, key: str, values: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: write_h5(folder / name, key, values)


def truncate(folder: Path) -> None:
    path = folder / "visual_feature.h5"
    path.write_bytes(path.read_bytes()[:-500])


def lie_elsewhere(folder: Path) -> None:
    (folder / "audio_feature.h5").rename(folder / "other.h5")
    with h5py.File(folder / "audio_feature.h5", "w") as file:
        file["avadataset"] = h5py.ExternalLink("other.h5", "avadataset")


def lie_in_another_file(folder: Path) -> None:
    layout = h5py.VirtualLayout((6, 10, 4), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "avadataset", (6, 10, 4))
    with h5py.File(folder / "audio_feature.h5", "w") as file:
        file.create_virtual_dataset("avadataset", layout)


def claim_rows(folder: Path) -> None:
    for name, sizes in (("visual", (10, 1, 1, 1)), ("audio", (10, 1))):
        with h5py.File(folder / f"{name}_feature_noisy.h5", "w") as file:
            file.create_dataset("avadataset", (2**40, *sizes), "f4", chunks=(1, *sizes))


def have_times(folder: Path) -> None:
    with h5py.File(folder / "audio_feature.h5", "w") as file:
        space = h5py.h5s.create_simple((6, 10, 4))
        h5py.h5d.create(file.id, b"avadataset", h5py.h5t.UNIX_D32LE, space)  # NumPy has no such type


def spoil(value: float) -> Callable[[Path], None]:
    def change_last(folder: Path) -> None:
        with h5py.File(folder / "visual_feature.h5", "r+") as file:
            file["avadataset"][5, 9, 1, 1, 2] = value

    return change_last


def write(name: str, text: str) -> Callable[[Path], int]:
    return lambda folder: (folder / name).write_text(text)


ROWS = np.ones((6, 10, 4))
LABELS = np.zeros((6, 10, 4))
WRONG: list[tuple[Callable[[Path], object], str]] = [
    (
        lambda folder: (folder / "visual_feature.h5").unlink(),
        r"visual_feature.h5: no such file.*Without them, --out writes tables",
    ),
    (truncate, r"visual_feature.h5: not a whole HDF5 file \(.*truncated"),
    (write("audio_feature.h5", "no h5"), r"audio_feature.h5: not a whole HDF5 file"),
    (change("audio_feature.h5", "dataset", ROWS), r"audio_feature.h5: has 'dataset', expected the array 'avadataset'"),
    (change("audio_feature.h5", "avadataset", ROWS[:5]), r"has the shape 5 x 10 x 4, expected 6 x 10 x any"),
    (change("audio_feature.h5", "avadataset", ROWS[:, :9]), r"has the shape 6 x 9 x 4, expected 6 x 10 x any"),
    (change("audio_feature.h5", "avadataset", ROWS.astype(int)), r"holds int64, expected floating point numbers"),
    (lie_elsewhere, r"audio_feature.h5: has 'avadataset', expected the array"),
    (lie_in_another_file, r"audio_feature.h5: avadataset lies in other files"),
    (claim_rows, r"visual_feature_noisy.h5: avadataset has 1099511627776 rows, expected at most 1000000"),
    (have_times, r"audio_feature.h5: not a whole HDF5 file \("),
    (spoil(np.nan), r"visual_feature.h5: row 6 has nan in segment 9, expected numbers of at most 65504"),
    (spoil(np.inf), r"visual_feature.h5: row 6 has inf in segment 9"),
    (spoil(-7e4), r"visual_feature.h5: row 6 has -70000 in segment 9"),
    (change("labels.h5", "avadataset", LABELS), r"labels.h5: row 1, segment 0 has the categories \[\], expected \[0\]"),
    (change("right_labels.h5", "avadataset", LABELS[:, :, :3]), r"right_labels.h5: .*6 x 10 x 3, expected 6 x 10 x 4"),
    (change("labels_noisy.h5", "avadataset", LABELS[:, 0]), ""),  # without features of noise it is of no concern
    (change("visual_feature_noisy.h5", "avadataset", ROWS), r"visual_feature_noisy.h5: .* 6 x 10 x 4, expected any x"),
    (lambda folder: (folder / "Annotations.txt").unlink(), r"Annotations.txt: no such file"),
    (write("Annotations.txt", ""), r"Annotations.txt, row 1: ''"),
    (write("Annotations.txt", "Bark&../../x&good&0&1"), r"Annotations.txt, row 1: video '../../x', expected letters"),
    (lambda folder: (folder / "val_order.h5").unlink(), r"val_order.h5: not there, though train_order.h5 is"),
    (change("val_order.h5", "order", np.array([0])), r"val_order.h5: has row 1, which is in train too"),
    (change("val_order.h5", "order", np.array([6])), r"val_order.h5: has row number 6, expected 0 to 5"),
    (change("val_order.h5", "order", np.array([-1])), r"val_order.h5: has row number -1"),
    (change("test_order.h5", "order", np.array([4])), r"Annotations.txt, row 3 \(goat1234567\) is in no split"),
]


@pytest.mark.parametrize(("spoil_folder", "says"), WRONG, ids=[says[:40] or "fine" for _, says in WRONG])
def test_what_is_wrong_is_named_before_anything_is_written(
    spoil_folder: Callable[[Path], object], says: str, ave: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil_folder(ave)
    code = ingest(ave, tmp_path / "root")
    assert code == (2 if says else 0)
    assert re.search(says, capsys.readouterr().err)
    assert (tmp_path / "root").exists() != bool(says)


def test_features_without_a_list_of_splits_are_refused(ave: Path) -> None:
    for name in ORDERS:
        (ave / f"{name}_order.h5").unlink()
    with pytest.raises(ConfigError, match=r"no splits there. Expected train_order.h5 or trainSet.txt"):
        AveFeatures(ave)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ave", "gone", "--root", "r"], "folder gone: nothing there"),
        (["ave", "."], "give --root"),
        (["ave", ".", "--root", "r", "--out", "o"], "give --root"),
        (["avel", ".", "--root", "r"], "are pickles, and nothing is unpickled"),
    ],
)
def test_a_command_that_cannot_be_meant_says_what_to_give(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["ingest", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
