"""Raters against themselves: the repeats of a file of votes make no label, and give each rater's agreement."""

from pathlib import Path

import pytest
from conftest import World

from pipeline.errors import ConfigError
from pipeline.labels.labeling import LabelingConfig, LabelPart
from pipeline.labels.ratings import read_judgements
from pipeline.labels.self_agreement import self_agreement
from pipeline.storage.layout import CLIPS_FOLDER, LABELS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.labels import LABELS

HEADER = "video,start_s,end_s,on_screen,off_screen,rater,is_repeat\n"


def votes(tmp_path: Path, *rows: str) -> str:
    path = tmp_path / "votes.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return str(path)


def test_repeats_are_compared_with_the_first_answers_of_the_same_rater_and_clip(tmp_path: Path) -> None:
    answers = [("a", "10", "10"), ("b", "01", "01"), ("c", "11", "11"), ("d", "00", "01")]
    rows = []
    for video, first, second in answers:
        rows += [f"{video},0,5,{first[0]},{first[1]},ann,0", f"{video},0,5,{second[0]},{second[1]},ann,1"]
    rows += ["a,0,5,0,0,bob,", "a,0,5,0,0,bob,1", "z,0,5,1,0,bob,1", "a,1,6,1,0,bob,1"]  # the last two: never before
    found = self_agreement(read_judgements([votes(tmp_path, *rows)]))
    assert list(found) == ["", "ann", "bob"]
    # ann: of 8 answers 2 on, 3 off, 2 both and 1 neither; by chance (4 + 9 + 4 + 1) / 64
    chance = 18 / 64
    assert found["ann"].observed == 3 / 4
    assert found["ann"].kappa == pytest.approx((3 / 4 - chance) / (1 - chance))
    assert (found["bob"].observed, found["bob"].num_items) == (1.0, 1)
    assert (found[""].observed, found[""].num_items) == (4 / 5, 5)


def test_without_repeats_or_names_there_is_none(tmp_path: Path) -> None:
    assert self_agreement(read_judgements([votes(tmp_path, "a,0,5,1,0,ann,0", "b,0,5,1,0,ann,")])) == {}
    assert self_agreement(read_judgements([votes(tmp_path, "a,0,5,1,0,,0", "a,0,5,1,0,,1")])) == {}


def test_a_repeat_is_no_contradiction_but_two_are_and_no_label_comes_of_it(
    workspace: Workspace, world: World, tmp_path: Path
) -> None:
    clip = workspace.read(CLIPS_FOLDER, "00000", CLIPS).to_pylist()[0]
    where = f"{clip['video_id']},{clip['start_s']},{clip['start_s'] + clip['duration_s']}"
    judgements = read_judgements([votes(tmp_path, f"{where},1,0,ann,0", f"{where},0,1,ann,1", f"{where},1,0,bob,0")])
    LabelPart(workspace, judgements, LabelingConfig())("00000")
    (row,) = workspace.read(LABELS_FOLDER, "00000", LABELS).to_pylist()
    assert (row["clip_id"], row["label"], row["num_raters"]) == (clip["clip_id"], "on_screen", 2)
    with pytest.raises(ConfigError, match="row 3: rater `ann` says two things"):
        read_judgements([votes(tmp_path, f"{where},1,0,ann,0", f"{where},0,1,ann,1", f"{where},1,1,ann,1")])
    with pytest.raises(ConfigError, match="is_repeat = '2', expected 0, 1 or nothing"):
        read_judgements([votes(tmp_path, f"{where},1,0,ann,2")])
