"""VGGSounder's and AVE's files as judgements: generated in their forms, with the labels that follow by hand."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.labels.labeling import LabelingConfig, LabelPart
from pipeline.labels.ratings import read_judgements
from pipeline.storage.layout import CLIPS_FOLDER, LABELS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.labels import LABELS
from schemas.videos import VIDEOS

HEAD = "video_id,label,modality,background_music,static_image,voice_over\n"
# By the rows of a video: on screen, off screen.
CASES = {
    "dog,AV,False,False,False": (True, False),
    "dog,A,False,False,False": (False, True),
    "dog,AV,False,False,False|car,A,False,False,False": (True, True),
    "dog,AV,False,False,False|car,V,False,False,False": (True, False),
    "dog,V,False,False,False": (False, False),
    "dog,AV,False,False,True": (True, True),
    "dog,AV,True,True,False": (True, True),
    '"dog, barking",AV,False,True,False': (True, False),
}


def write(folder: Path, name: str, text: str) -> list[str]:
    (folder / name).write_text(text)
    return [str(folder / name)]


def test_each_video_of_vggsounder_is_one_judgement_of_all_its_classes(tmp_path: Path) -> None:
    lines = [f"v{n:010d}_000030,{row}\n" for n, rows in enumerate(CASES) for row in rows.split("|")]
    rows = read_judgements(write(tmp_path, "vggsounder.csv", HEAD + "".join(lines))).table.to_pylist()
    assert [row["video"] for row in rows] == [f"v{n:010d}_000030" for n in range(len(CASES))]
    assert [(row["on_screen"], row["off_screen"]) for row in rows] == list(CASES.values())
    assert [row["static_image"] for row in rows] == [False] * 6 + [True, True]
    assert {(row["start_s"], row["end_s"], row["num_raters"], row["rater"]) for row in rows} == {
        (0, float("inf"), 1, "")
    }


def test_events_of_ave_are_on_screen_in_their_span_and_nothing_else_is_judged(tmp_path: Path) -> None:
    text = "Category&VideoID&Quality&StartTime&EndTime\n".replace("Time", "") + "Bark&abc&good&2&7\nBell&x&good&0&0\n"
    (row,) = read_judgements(write(tmp_path, "Annotations.txt", text)).table.to_pylist()
    assert (row["video"], row["start_s"], row["end_s"]) == ("abc", 2, 7)
    assert (row["on_screen"], row["off_screen"], row["static_image"]) == (True, False, None)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("v,dog,B,False,False,False", "row 1: modality = 'B', expected A, V or AV"),
        ("v,dog,A,False,maybe,False", "row 1: static_image = 'maybe', expected True or False"),
        (",dog,A,False,False,False", "row 1: video_id = '', expected the name of a video"),
    ],
)
def test_a_row_that_cannot_be_right_is_named(row: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        read_judgements(write(tmp_path, "vggsounder.csv", f"{HEAD}{row}\n"))


def test_clips_get_the_label_and_the_flags_of_their_video_and_other_raters_are_heard_too(
    workspace: Workspace, tmp_path: Path
) -> None:
    first, second, third = (row["uri"].rpartition("/")[2] for row in workspace.read(
        VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()[:3])  # fmt: skip
    stem = first.rpartition(".")[0]
    paths = write(
        tmp_path, "vggsounder.csv", f"{HEAD}{stem},dog,AV,False,True,False\n{second},dog,A,False,False,False\n"
    )
    paths += write(tmp_path, "votes.csv", f"video,on_screen,off_screen\n{second},1,0\n{third},1,0\n")
    work = LabelPart(workspace, read_judgements(paths), LabelingConfig())
    for part in workspace.parts(CLIPS_FOLDER):
        work(part)
    of = {
        row["video_id"]: row["uri"].rpartition("/")[2] for row in workspace.read_all(VIDEOS_FOLDER, VIDEOS).to_pylist()
    }
    found = {
        (of[row["video_id"]], row["label"], row["static_image"])
        for row in workspace.read_all(LABELS_FOLDER, LABELS).to_pylist()
    }
    assert found == {(first, "on_screen", True), (second, "conflict", False), (third, "on_screen", None)}
    assert len(workspace.read_all(LABELS_FOLDER, LABELS)) == sum(
        of[row["video_id"]] in (first, second, third) and row["outcome"] == "kept"
        for row in workspace.read_all(CLIPS_FOLDER, CLIPS).to_pylist()
    )
