"""AVSBench ingested from generated trees: every pixel, sample, time and split where the published files have it."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from jobs.cli import main
from pipeline.clips.splitting import SplittingConfig
from pipeline.ingest.published_parts import STAGE, VIDEOS_FOLDER
from pipeline.masks.masked_clips import MaskedClip, load_masked
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER, MASKS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.masks import MASKS
from schemas.videos import VIDEOS
from tests.helpers.avsbench_trees import SIDE, Video, save, write_mask, write_ms3, write_s4, write_semantic

S4 = [
    Video("-one", "train"),
    Video("two_.x", "train", seed=1, sounding=("red", "blue"), channels=2),
    Video("three", "val", seed=2, sounding=("blue",), category="dog_barking"),
    Video("four", "test", seed=3, sounding=()),  # its masks are black
    Video("five", "test", seed=4, rate_hz=44100),
    Video("short", "test", seed=5, sound_s=3.0),
    Video("mute", "train", seed=6, has_wav=False),
    Video("lacking", "test", seed=7, lacks=(2,)),
]
SPLITS = ("train", "validate", "test")


def ingest(name: str, folder: Path, root: Path, *options: str) -> int:
    return main(["-q", "ingest", f"avsbench-{name}", str(folder), "--root", str(root), *options])


@pytest.fixture(scope="module")
def s4(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a tree of S4, and the root into which it was ingested."""
    base = tmp_path_factory.mktemp("s4")
    folder = write_s4(base, S4)
    assert ingest("s4", folder, base / "root") == 0
    return folder, base / "root"


def clips_of(root: Path) -> dict[str, tuple[str, MaskedClip]]:
    """The split and the clip of each video, by its name in the list."""
    workspace, found = Workspace(str(root)), {}
    sets = load_masked(workspace, SPLITS, SplittingConfig(), workspace.parts(STAGE), "segmentation")
    for split, clips in zip(SPLITS, sets, strict=True):
        for number in range(len(clips)):
            clip = clips.read(number)
            found[clip.facts["extra"].get("name") or clip.facts["extra"]["uid"]] = split, clip
    return found


def outcomes(root: Path) -> dict[str, str]:
    rows = Workspace(str(root)).read_all(VIDEOS_FOLDER, VIDEOS, ["extra", "outcome"]).to_pylist()
    return {json.loads(row["extra"]).get("name"): row["outcome"] for row in rows}


def everything(root: Path) -> dict[str, bytes]:
    paths = [path for path in (root / "tables").rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in [*paths, *root.glob("*/**/*.tar")]}


def check(video: Video, clip: MaskedClip, num_masks: int) -> None:
    """A clip has the frames, the times and the masks of its video."""
    assert clip.facts["frame_times_s"] == [number + 15 / 16 for number in range(len(clip.frames))]
    assert clip.mask_valid.tolist() == [number < num_masks for number in range(len(clip.frames))]
    published = video.frames().transpose(0, 3, 1, 2).astype(float)
    error = np.square(clip.frames[: len(published)] - published).mean()
    assert 10 * np.log10(255**2 / error) > 35  # JPEG's loss, at edges that no camera sees
    assert np.array_equal(clip.masks[:num_masks], video.masks()[:num_masks])  # whatever mode each is stored in
    assert not clip.masks[num_masks:].any()


def test_frames_masks_times_and_splits_are_the_published_ones(s4: tuple[Path, Path]) -> None:
    found = clips_of(s4[1])
    assert {name: split for name, (split, _) in found.items()} == {
        **{"-one": "train", "two_.x": "train", "three": "validate"},
        **{"four": "test", "five": "test", "short": "test"},
    }
    for video in S4[:6]:
        check(video, found[video.name][1], 1 if video.split == "train" else 5)
        assert found[video.name][1].facts["extra"]["category"] == video.category
        assert found[video.name][1].facts["extra"]["published"] == "avsbench-s4"


def test_sounds_are_the_wavs_samples_mixed_resampled_and_filled(s4: tuple[Path, Path]) -> None:
    found = {name: np.rint(clip.waveform * 32768).astype(int) for name, (_, clip) in clips_of(s4[1]).items()}
    assert {len(waveform) for waveform in found.values()} == {80000}
    for video in S4[:4]:  # of one channel, and of two that are alike
        assert np.array_equal(found[video.name], video.sound())
    assert np.abs(found["five"] - S4[4].sound())[100:-100].max() < 60  # 1 % of its peak
    window, sound = 15360, S4[5].sound()
    assert np.array_equal(found["short"][: 3 * window], sound[: 3 * window])  # 3 s hold three windows
    for number in (3, 4):
        of_window = found["short"][number * window : (number + 1) * window]
        assert np.array_equal(of_window, sound[2 * window : 3 * window])
    assert not found["short"][5 * window :].any()


def test_every_line_is_a_row_and_a_faulty_one_says_why(
    s4: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, root = s4
    assert outcomes(root) == dict.fromkeys([video.name for video in S4[:6]], "kept") | {
        "mute": "no_audio",
        "lacking": "no_frame",
    }
    workspace = Workspace(str(root))
    rows = {row["video_id"]: row for row in workspace.read_all(VIDEOS_FOLDER, VIDEOS).to_pylist()}
    for clip in workspace.read_all(STAGE, CLIPS).to_pylist():
        video = rows[clip["video_id"]]
        assert clip["outcome"] == video["outcome"]
        assert (clip["tar_offset"] is None) == (clip["outcome"] != "kept")
        assert (video["width"], video["height"]) == ((SIDE, SIDE) if clip["outcome"] == "kept" else (None, None))
    masks = workspace.read_all(MASKS_FOLDER, MASKS).to_pylist()
    assert Counter(row["outcome"] for row in masks) == {"kept": 2 + 4 * 5}
    assert all(row["area"] == 0 for row in masks if "/four/" in row["source"])
    assert not (folder.parent / "canary").exists()  # no pickle was opened

    assert ingest("s4", folder, root) == 0
    output = capsys.readouterr().out
    assert "8 videos are listed (3 train, 1 validate, 4 test); published are 4 932 (3 452 train, " in output
    assert "  1 without a wav (no_audio): s4_data/visual_frames/train/male_speech/mute\n" in output
    assert "  1 without some of the frames (no_frame): s4_data/visual_frames/test/male_speech/lacking\n" in output
    assert "8 videos (6 kept, 1 no_audio, 1 no_frame)" in output
    assert "2 train, 1 validate, 3 test; nothing to do, all is there" in output


def test_ingested_again_or_after_a_kill_it_has_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_ms3(tmp_path, [Video(f"v{number}", seed=number) for number in range(3)])
    monkeypatch.setattr("pipeline.ingest.published_parts.VIDEOS_PER_PART", 2)
    for root in (tmp_path / "once", tmp_path / "killed"):
        assert ingest("ms3", folder, root) == 0
    before = everything(tmp_path / "once")
    assert len([name for name in before if name.endswith(".tar")]) == 4  # two parts of clips and of masks
    assert everything(tmp_path / "killed") == before
    workspace = Workspace(str(tmp_path / "killed"))
    files.delete(workspace.part_uri(VIDEOS_FOLDER, "00001"))  # the last to be written of a part
    files.delete(workspace.part_uri(COLLECTION_FOLDER, "00001"))
    for stage in (STAGE, MASKS_FOLDER):
        record = {name: fact for name, fact in workspace.stage(stage).items() if name != "finished"}
        files.commit_bytes(workspace.record_uri(stage), json.dumps(record).encode())
    assert ingest("ms3", folder, tmp_path / "killed") == 0
    assert everything(tmp_path / "killed") == before
    assert workspace.is_finished(STAGE)
    assert workspace.is_finished(MASKS_FOLDER)
    assert main(["clean", "--root", workspace.root, "--from", "masks", "--yes"]) == 0
    assert ingest("ms3", folder, tmp_path / "killed") == 0
    assert everything(tmp_path / "killed") == before
    assert workspace.is_finished(MASKS_FOLDER)


def test_ms3_is_read_without_a_header_from_folders_named_after_films(tmp_path: Path) -> None:
    videos = [Video("a1", "train", sounding=("red", "blue")), Video("b2", "val"), Video("c3", "test", seed=1)]
    assert ingest("ms3", write_ms3(tmp_path, videos, has_header=False), tmp_path / "root") == 0
    found = clips_of(tmp_path / "root")
    for video, split in zip(videos, SPLITS, strict=True):
        assert found[video.name][0] == split
        check(video, found[video.name][1], 5)


SEMANTIC = [
    Video("a_0_5", "train", subset="v1s", sounding=("red", "blue")),
    Video("b_0_5", "val", subset="v1m", seed=1, sounding=("blue",)),
    Video("c_0_10", "test", subset="v2", seed=2, sounding=("red", "blue")),
    Video("d_0_10", "train", subset="v2", sounding=()),
]


def test_colours_are_masks_of_categories_and_a_short_video_is_padded_to_ten_frames(tmp_path: Path) -> None:
    folder = write_semantic(tmp_path / "tree", SEMANTIC)
    assert ingest("semantic", folder, tmp_path / "root") == 0
    found = clips_of(tmp_path / "root")
    for video, num_masks in zip(SEMANTIC, (1, 5, 10, 10), strict=True):
        _, clip = found[video.name]
        assert clip.frames.shape == (10, 3, SIDE, SIDE)
        assert len(clip.waveform) == 160_000
        assert clip.facts["frame_times_s"] == [number + 15 / 16 for number in range(10)]
        assert clip.mask_valid.tolist() == [number < num_masks for number in range(10)]
        wrong = clip.masks[:num_masks] != video.masks()[:num_masks]
        assert wrong.mean() < 0.005  # at edges: 320x180 pixels were published
        assert clip.frames[video.num_frames :].max(initial=0) == 0
        assert not clip.waveform[video.num_frames * 16000 :].any()
    workspace = Workspace(str(tmp_path / "root"))
    rows = workspace.read_all(MASKS_FOLDER, MASKS).to_pylist()
    names = {"a_0_5": {None, "dog", "guitar"}, "b_0_5": {None, "guitar"}, "c_0_10": {None, "dog", "guitar"}}
    for name, categories in (names | {"d_0_10": {None}}).items():
        of_video = [row for row in rows if f"/{name}/" in row["source"]]
        assert {row["category"] for row in of_video} == categories
        for time_s in {row["time_s"] for row in of_video}:
            areas = {row["category"]: row["area"] for row in of_video if row["time_s"] == time_s}
            assert areas.pop(None) == sum(areas.values())  # the discs do not touch
    assert workspace.stage(STAGE)["settings"]["clips"]["segmentation"]["clip_s"] == 10


def test_masks_that_are_wrong_are_rows_and_the_clip_is_kept(tmp_path: Path) -> None:
    folder = write_ms3(tmp_path, [Video("a"), Video("b", "val")])
    masks = folder / "Multi-sources" / "ms3_data" / "gt_masks" / "train" / "a"
    (masks / "a_1.png").write_bytes(b"no picture")
    (masks / "a_2.png").unlink()
    write_mask(masks / "a_3.png", np.ones((100, 200), bool))
    write_mask(masks / "a_4.png", np.ones((112, 112), bool))  # of the same aspect
    assert ingest("ms3", folder, tmp_path / "root") == 0
    rows = Workspace(str(tmp_path / "root")).read_all(MASKS_FOLDER, MASKS).to_pylist()
    found = {
        row["source"][-7:]: (row["outcome"], row["height"], row["detail"]) for row in rows if "/a/" in row["source"]
    }
    assert found["a_1.png"][0] == "unreadable"
    assert found["a_3.png"] == ("mask_mismatch", 100, "200x100 pixels; expected the shape of its frame, 224x224")
    assert found["a_4.png"] == ("kept", 112, None)
    _, clip = clips_of(tmp_path / "root")["a"]
    assert clip.mask_valid.tolist() == [False, False, False, True, True]
    assert clip.masks[3].all()


def test_a_frame_or_a_wav_that_cannot_be_read_rejects_its_video_alone(tmp_path: Path) -> None:
    folder = write_ms3(tmp_path, [Video("a"), Video("b"), Video("c"), Video("d", sound_s=0.5)])
    data = folder / "Multi-sources" / "ms3_data"
    (data / "visual_frames" / "a" / "a.mp4_4.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (data / "audio_wav" / "train" / "b.wav").write_bytes(b"RIFF")
    assert ingest("ms3", folder, tmp_path / "root") == 0
    found = outcomes(tmp_path / "root")
    assert (found["a"], found["c"], found["d"]) == ("unreadable", "kept", "short_audio")
    assert found["b"] in ("unreadable", "no_audio")
    details = Workspace(str(tmp_path / "root")).read_all(VIDEOS_FOLDER, VIDEOS)["detail"].to_pylist()
    assert details[0].startswith("ms3_data/visual_frames/a/a.mp4_4.png: no whole PNG or JPEG")


def test_videos_of_the_same_bytes_share_a_split_unless_they_are_to_be_as_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = [Video("a", "train"), Video("b", "test"), Video("c", "val", seed=1)]  # a and b have the same bytes
    folder = write_ms3(tmp_path, videos)
    for root, options, split in (("moved", (), "train"), ("left", ("--as-published",), "test")):
        assert ingest("ms3", folder, tmp_path / root, *options) == 0
        assert ("1 with the bytes of another video" in capsys.readouterr().out) == (root == "moved")
        found = {name: of for name, (of, _) in clips_of(tmp_path / root).items()}
        assert found == {"a": "train", "b": split, "c": "validate"}


def test_a_root_of_a_published_set_and_a_root_of_videos_do_not_mix(
    s4: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, root = s4
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").touch()
    for spec in ("base", "segmentation"):
        command = ["shard", "--collection", str(tmp_path / "videos"), "--root", str(root), "--clips", spec]
        assert main(command) == 2
        assert "holds the clips of avsbench-s4 as published, beside which no videos are cut" in capsys.readouterr().err
    assert not Workspace(str(root)).has_stage("clips/base")
    save(tmp_path / "masks" / "-one" / "500.png", Image.new("1", (SIDE, SIDE)))
    assert main(["label", "--masks", str(tmp_path / "masks"), "--root", str(root)]) == 2
    assert "masks: holds work of other settings or inputs" in capsys.readouterr().err
    other = write_ms3(tmp_path, [Video("a")])
    assert ingest("ms3", other, root) == 2
    assert "holds another collection" in capsys.readouterr().err
    assert ingest("s4", folder, root, "--as-published") == 2
    assert "holds work of other settings or inputs (as_published" in capsys.readouterr().err
    with (folder / "Single-source" / "s4_meta_data.csv").open("a") as file:
        file.write("new,0,cat,train\n")
    assert ingest("s4", folder, root) == 2
    assert "holds another collection" in capsys.readouterr().err


def test_what_is_known_of_the_root_can_be_asked_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(tmp_path / "root")
    assert ingest("ms3", write_ms3(tmp_path, [Video("a"), Video("b", "val")]), tmp_path / "root") == 0
    capsys.readouterr()
    assert main(["status", "--root", root, "--json"]) == 0
    stages = {stage["stage"]: stage for stage in json.loads(capsys.readouterr().out)["stages"]}
    for name in (STAGE, MASKS_FOLDER):
        assert (stages[name]["state"], stages[name]["done"], stages[name]["total"]) == ("finished", 1, 1)
    assert {name for name, stage in stages.items() if stage["state"] == "not begun"} == {
        "models/segmentation",
        "reports/segmentation/-",
    }
    sql = (
        "SELECT split, count(*) AS n FROM clips JOIN collection USING (video_id) JOIN masks USING (video_id) GROUP BY 1"
    )
    assert main(["query", "--root", root, "--format", "csv", sql + " ORDER BY 1"]) == 0
    assert capsys.readouterr().out.split() == ["split,n", "train,5", "validate,5"]
    assert main(["clean", "--root", root, "--from", "collection", "--yes"]) == 0
    assert not [path for path in (tmp_path / "root").rglob("*") if path.suffix in (".parquet", ".tar")]


PHEASANT = (
    *((170, 155), (200, 110), (215, 75), (235, 62), (270, 72), (300, 105), (330, 110), (345, 125), (335, 145)),
    *((320, 150), (325, 200), (342, 270), (348, 330), (400, 365), (448, 405), (448, 448), (176, 448), (180, 370)),
    *((200, 300), (212, 255), (225, 215), (205, 215), (190, 190), (195, 155)),
)  # drawn by hand around the bird, in a picture of 448x448


def photograph(media: Path) -> tuple[Image.Image, np.ndarray]:
    """A pheasant before a meadow at the published size, and the mask of the bird."""
    photo = Image.open(media / "images" / "imagenet_sample" / "n01514668_cock.JPEG").convert("RGB")
    drawn = Image.new("L", (448, 448))
    ImageDraw.Draw(drawn).polygon(PHEASANT, fill=255)
    return photo.resize((SIDE, SIDE)), np.asarray(drawn.resize((SIDE, SIDE))) > 127


def test_a_mask_drawn_on_a_photograph_divides_the_bird_from_the_meadow(shared_media: Path, tmp_path: Path) -> None:
    photo, mask = photograph(shared_media)
    videos = [Video("bird", "test", category="pheasant", photo=photo, mask=mask), Video("a")]
    assert ingest("s4", write_s4(tmp_path, videos), tmp_path / "root") == 0
    _, clip = clips_of(tmp_path / "root")["bird"]
    assert all(np.array_equal(found, mask) for found in clip.masks)  # of five modes
    red, green, blue = (clip.frames[:, channel].astype(int) for channel in range(3))
    is_meadow = (green > red + 10) & (green > blue + 30)
    assert is_meadow[~clip.masks].mean() > 0.9
    assert is_meadow[clip.masks].mean() < 0.1


def test_frames_of_another_size_fill_the_clips_frame(tmp_path: Path) -> None:
    folder = write_ms3(tmp_path, [Video("a"), Video("b", "val")])
    frames = folder / "Multi-sources" / "ms3_data" / "visual_frames" / "a"
    for number in range(1, 6):
        save(frames / f"a.mp4_{number}.png", Image.new("RGB", (64, 48), (10, 200, 30)))
    assert ingest("ms3", folder, tmp_path / "root") == 0
    rows = Workspace(str(tmp_path / "root")).read_all(VIDEOS_FOLDER, VIDEOS).to_pylist()
    assert (rows[0]["width"], rows[0]["height"], rows[0]["outcome"]) == (64, 48, "kept")
    _, clip = clips_of(tmp_path / "root")["a"]
    assert np.array_equal(clip.masks, Video("a").masks())  # a mask of the stretched frame's shape
    assert np.abs(clip.frames - np.array([10, 200, 30])[None, :, None, None].astype(int)).max() < 5
