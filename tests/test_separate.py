"""`earshot separate`: several videos at once, what is said of each, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import MakeMedia

from jobs.console.separate_options import parse_choice, parse_gain, parse_span
from pipeline.errors import ConfigError
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from tests.helpers.command import earshot
from tests.helpers.films import H264, LAVFI
from tests.helpers.separators import workspace_with_model


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return workspace_with_model(tmp_path_factory.mktemp("separate") / "workspace").root


@pytest.fixture(scope="module")
def video(make_media: MakeMedia) -> Path:
    sources = (*LAVFI, "color=red:s=64x48:r=10:d=6", *LAVFI, "anoisesrc=d=6:r=44100:a=0.3:seed=1")
    return make_media("noise_of_six.mp4", *sources, *H264)


def test_a_batch_goes_on_when_one_fails_and_says_so_in_a_line_each(root: str, video: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(video.read_bytes())
    (folder / "broken.mp4").write_text("no video at all")
    soundfile.write(folder / "c.wav", np.random.default_rng(0).uniform(-0.1, 0.1, (90_000, 2)), 44_100)
    gone = f"{tmp_path}/gone.mp4"
    code, said, err = earshot("separate", str(folder), gone, "--root", root, "--out", str(out), "-q")
    assert code == 1, err
    lines = [line for line in err.splitlines() if line.startswith("earshot:")]
    assert len(lines) == 2
    assert lines[0].startswith(f"earshot: {folder}/broken.mp4: unreadable: ")
    assert lines[1] == f"earshot: {gone}: no such file or folder."
    first, second, last = said.splitlines()
    assert first.startswith(f"{folder}/a.mp4: 6.0 s; ")
    assert first.endswith(f"of the power is on screen -> {out}/a")
    assert "no picture: the sources are written, without a verdict" in second
    assert last.startswith("separate: 2 of 4 failed; 8.04")
    assert "times real time" in last
    assert "peak memory" in last
    assert sorted(path.name for path in out.iterdir()) == ["a", "c"]
    assert {path.name for path in (out / "a").iterdir()} == {
        *("on_screen.flac", "off_screen.flac", "on_screen.mp4", "off_screen.mp4", "separation.json")
    }


def test_a_model_that_learnt_from_sounds_separates_sounds_and_spans_of_videos_and_gives_no_verdict(
    video: Path, tmp_path: Path
) -> None:
    root = workspace_with_model(tmp_path / "workspace", audio_from="sounds").root
    sound = np.random.default_rng(0).uniform(-0.1, 0.1, (90_000, 2))
    soundfile.write(tmp_path / "c.wav", sound, 44_100)
    code, said, err = earshot("separate", f"{tmp_path}/c.wav", "--root", root, "--out", f"{tmp_path}/c", "-q")
    assert code == 0, err
    assert "no picture: the sources are written, without a verdict" in said
    sources = [soundfile.read(path)[0] for path in sorted((tmp_path / "c").glob("source_*.flac"))]
    np.testing.assert_allclose(sum(sources), soundfile.read(tmp_path / "c.wav")[0], atol=1e-6)  # -100 dB
    code, _, err = earshot("separate", str(video), "--root", root, "--out", f"{tmp_path}/v", "-q")
    assert (code, "verdict" in err) == (1, True)
    code, _, err = earshot(*("separate", str(video), "--root", root, "--out", f"{tmp_path}/v", "-q", "--span", "+1-2"))
    assert code == 0, err
    kept, rest = (soundfile.read(tmp_path / "v" / f"{name}.flac")[0] for name in ("on_screen", "off_screen"))
    assert len(kept) == len(rest) == 6 * 44_100


def test_every_option_writes_its_file_and_progress_is_shown(root: str, video: Path, tmp_path: Path) -> None:
    code, _, err = earshot(
        *(
            "separate",
            str(video),
            "--root",
            root,
            "--out",
            str(tmp_path),
            "--stems",
            "--attention",
            "--page",
            "--batch",
            "2",
        ),
        *("--on-screen-gain", "0dB", "--off-screen-gain", "-60dB", "--threshold", "0.5", "--region", "0,0,32,48"),
    )
    assert code == 0, err
    assert f"separate {video.name}, seconds: 0 of 6" in err
    names = {path.name for path in tmp_path.iterdir()}
    assert {
        "remix.flac",
        "remix.mp4",
        "attention.mp4",
        "player.html",
        *(f"source_{number}.flac" for number in range(1, 5)),
    } < names


def test_nothing_is_overwritten_unless_asked(root: str, video: Path, tmp_path: Path) -> None:
    (tmp_path / "on_screen.flac").write_text("mine")
    arguments = ("separate", str(video), "--root", root, "--out", str(tmp_path), "-q")
    code, _, err = earshot(*arguments)
    assert code == 2
    assert (
        err
        == f"earshot: {tmp_path}/on_screen.flac: is there already. Give --overwrite to replace it, or another --out.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["on_screen.flac"]
    assert earshot(*arguments, "--overwrite")[0] == 0
    assert soundfile.info(tmp_path / "on_screen.flac").samplerate == 44_100


def test_objects_are_read_and_written(root: str, video: Path, s3_bucket: str) -> None:
    uri, out = f"{s3_bucket}/in/a.mp4", f"{s3_bucket}/separated"
    files.commit_bytes(uri, video.read_bytes())
    code, _, err = earshot("separate", uri, "--root", root, "--out", out, "-q")
    assert code == 0, err
    assert sorted(files.relative(entry.uri, out) for entry in files.list_files(out)) == [
        "off_screen.flac", "off_screen.mp4", "on_screen.flac", "on_screen.mp4", "separation.json",
    ]  # fmt: skip


def test_without_a_model_one_line_says_how_to_get_one(root: str, video: Path, tmp_path: Path) -> None:
    made = "`earshot demo --root my_demo` trains one in less than an hour; then give --root my_demo.\n"
    separate = ("separate", str(video), "--out", f"{tmp_path}/out")
    for options in ((), ("--root", f"{tmp_path}/nowhere"), ("--root", root, "--model", "other")):
        code, _, err = earshot(*separate, *options)
        assert code == 2
        assert err.endswith(made)
        assert err.count("\n") == 1
    workspace = Workspace(root)
    workspace.begin("models/begun", {"learner": "separation", "separation": {}}, {})
    code, _, err = earshot(*separate, "--root", root, "--model", "begun")
    assert (code, err.endswith(made)) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_overwriting_leaves_no_file_of_the_run_before_and_none_of_others(
    root: str, video: Path, tmp_path: Path
) -> None:
    arguments = ("separate", str(video), "--root", root, "--out", f"{tmp_path}/out", "-q")
    code, _, err = earshot(*arguments, "--stems", "--on-screen-gain", "0dB")
    assert code == 0, err
    (tmp_path / "out" / "mine.txt").write_text("a user's own")
    assert {"source_4.flac", "remix.flac"} <= {path.name for path in (tmp_path / "out").iterdir()}
    code, _, err = earshot(*arguments, "--overwrite")
    assert code == 0, err
    stems = {f"{stem}.{kind}" for stem in ("on_screen", "off_screen") for kind in ("flac", "mp4")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == stems | {"separation.json", "mine.txt"}


def test_a_record_of_another_program_names_no_file_to_remove(root: str, video: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "kept.txt").write_text("outside")
    names = ["../kept.txt", "notes.flac", "on_screen.flac/../../kept.txt", 3]
    (tmp_path / "out" / "separation.json").write_text(json.dumps({"files": names}))
    (tmp_path / "out" / "notes.flac").write_text("a user's own")
    code, _, err = earshot(*("separate", str(video), "--root", root, "--out", f"{tmp_path}/out", "--overwrite", "-q"))
    assert code == 0, err
    assert (tmp_path / "kept.txt").exists()
    assert (tmp_path / "out" / "notes.flac").exists()


def test_what_does_not_apply_to_a_file_is_said(root: str, make_media: MakeMedia, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "c.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 90_000), 44_100)
    options = ("--threshold", "0.5", "--on-screen-gain", "0dB", "--attention")
    code, said, err = earshot(
        *("separate", f"{tmp_path}/c.wav", "--root", root, "--out", f"{tmp_path}/c", "-q", *options)
    )
    assert code == 0, err
    for note in ("the threshold does not apply", "no remix", "no attention: there is no picture"):
        assert note in said
    mute = make_media("mute_of_three.mp4", *LAVFI, "color=red:s=64x48:r=10:d=3", *H264)
    arguments = ("separate", str(mute), "--root", root, "-q", "--stems")
    code, said, err = earshot(*arguments, "--out", f"{tmp_path}/m", "--span", "+1-2")
    assert code == 0, err
    for note in ("no sources: there is no sound", "the spans do not apply"):
        assert note in said
    code, _, err = earshot(*arguments, "--out", f"{tmp_path}/n", "--span", "+1-9")
    assert (code, "outside the video" in err) == (1, True)
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--region", "1,2,3"], "--region 1,2,3: expected x,y,w,h in pixels"),
        (["--region", "0,0,0,5"], "--region 0,0,0,5: expected x,y,w,h in pixels"),
        (["--at", "5"], "--at 5: expected x,y in pixels"),
        (["--region", "0,0,5,5", "--at", "1,1"], "Give one of them."),
        (["--span", "7-6"], "--span 7-6: expected the seconds from which and to which it sounds, such as +6.3-7.0."),
        (["--span", "1-2", "--threshold", "0.5"], "Drop --region, --at and --threshold."),
        (["--off-screen-gain", "loud"], "gain loud: expected decibels"),
        (["--threshold", "1.5"], "less than or equal to 1"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_any_work(
    options: list[str], message: str, root: str, video: Path, tmp_path: Path
) -> None:
    code, _, err = earshot("separate", str(video), "--root", root, "--out", f"{tmp_path}/out", *options)
    assert (code, message in err.replace("│", " ")) == (2, True), err
    assert list(tmp_path.iterdir()) == []


def test_a_region_outside_the_picture_and_a_span_outside_the_video_fail_that_video(
    root: str, video: Path, tmp_path: Path
) -> None:
    for options, expected in (
        (("--region", "50,0,20,20"), "is outside the picture, which has 64 x 48 pixels."),
        (("--span", "+5.5-6.5"), "5.5 to 6.5 s is outside the video, which lasts 6.0"),
    ):
        code, _, err = earshot("separate", str(video), "--root", root, "--out", f"{tmp_path}/out", "-q", *options)
        assert (code, expected in err, err.count("\n")) == (1, True, 1), err
    assert list(tmp_path.iterdir()) == []


def test_texts_become_numbers() -> None:
    assert (parse_gain("0dB"), parse_gain("-60dB"), parse_gain("-inf dB")) == (1, pytest.approx(0.001), 0)
    assert parse_gain("+6.0206") == pytest.approx(2, abs=1e-4)
    choice = parse_choice(None, None, None, ["+6.3-7.0", "9-10.5"])
    assert [(span.start_s, span.end_s) for span in choice.spans] == [(6.3, 7.0), (9, 10.5)]
    with pytest.raises(ConfigError):
        parse_span("-1-2")


def test_help_waits_for_no_library_that_computes() -> None:
    script = "import sys; from jobs.console.lazy_commands import load; load('separate')"
    script += "; print({'torch', 'numpy'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
