"""`earshot label`, whole: labels of clips, spans of events and masks, through Ray, again, and with other files."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import World

from jobs.cli import main
from pipeline.hashing import hash_bytes
from pipeline.masks.mask_pictures import encode_mask
from pipeline.storage import files
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.spans import SPANS
from schemas.videos import VIDEOS


def test_labelling_prints_coverage_agreement_and_where_the_conflicts_are(
    workspace: Workspace, ray_session: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    videos = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS)["video_id"].to_pylist()
    votes = [f"{videos[0]},a,1,0", f"{videos[0]},b,0,1", f"{videos[1]},a,1,0", f"{videos[1]},b,1,0", "gone,a,1,0"]
    (tmp_path / "votes.csv").write_text("\n".join(["video,rater,on_screen,off_screen", *votes]))
    listed = tmp_path / "my_onscreen_unanimous_clips.csv"
    listed.write_text(f"{videos[2]},0,2\n{videos[2]},1,3\n")
    files = ["--labels", str(tmp_path / "*clips.csv"), "--labels", str(tmp_path / "votes.csv")]
    assert main(["label", "--root", workspace.root, *files, "--set", "labeling.min_raters=2"]) == 0
    output = capfd.readouterr().out
    assert "my_onscreen_unanimous_clips.csv: 2 rows, 1 of 1 videos are here\n" in output
    assert "votes.csv: 5 rows, 2 of 3 videos are here\n" in output
    assert "coverage: 10 of 48 kept clips (21%) are judged\n" in output
    # half of the pairs agree; three of four votes are on_screen: (0.5 - 0.625) / (1 - 0.625)
    assert "Fleiss kappa -0.333 (observed 0.500, chance 0.625) over 8 clips" in output
    assert f"conflicts: 4 clips, first {videos[0]}_00000000, " in output
    facts = workspace.stage("labels/base")
    assert (facts["num_judged"], facts["num_conflicts"], round(facts["fleiss_kappa"], 3)) == (10, 4, -0.333)
    assert facts["settings"]["labels"] == "my_onscreen_unanimous_clips.csv, votes.csv"
    assert facts["settings"]["content"]["votes.csv"] == hash_bytes((tmp_path / "votes.csv").read_bytes())
    again = ["label", "--root", workspace.root, "--set", "labeling.min_raters=2"]
    stage_file = Path(workspace.record_uri("labels/base"))
    finished, begun = stage_file.read_bytes(), {name: facts[name] for name in facts if name != "finished"}
    stage_file.write_text(json.dumps({name: begun[name] for name in begun if name not in ("num_judged", "num_kept")}))
    assert main([*again, *files[2:], *files[:2]]) == 0  # as after a kill between the last part and the end
    assert "nothing to do" in capfd.readouterr().out
    assert json.loads(finished) | {"finished": 0} == workspace.stage("labels/base") | {"finished": 0}
    assert main([*again, *files[2:]]) == 2
    assert "holds work of other settings or inputs" in capfd.readouterr().err


def test_labels_and_spans_are_given_in_one_command_and_other_spans_are_refused(
    workspace: Workspace, world: World, ray_session: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    label, spans = ["label", "--root", workspace.root], ["--spans", str(world.folder / "events.csv")]
    assert main([*label, "--labels", str(world.folder / "labels.csv"), *spans]) == 0
    output = capfd.readouterr().out
    assert "coverage: 48 of 48" in output
    facts = workspace.stage("spans")
    rows = workspace.read_all("spans", SPANS)
    assert facts["num_videos"] == 12
    assert facts["num_spans"] + facts["num_without"] == len(rows)
    assert f"events.csv: {len(rows)} rows, 12 of 12 videos are here" in output
    assert f"label: {len(rows)} spans, 12 videos -> {workspace.root}/tables/spans" in output
    assert main([*label, *spans]) == 0
    assert "nothing to do, every part has its spans" in capfd.readouterr().out
    (tmp_path / "events.csv").write_text((world.folder / "events.csv").read_text().partition("\n")[0] + "\n")
    assert main([*label, "--spans", str(tmp_path / "events.csv")]) == 2
    assert "no rows" in capfd.readouterr().err
    (tmp_path / "events.csv").write_text("video,start_s,end_s,category\nworld_00000.mp4,0,1,bark\n")
    assert main([*label, "--spans", str(tmp_path / "events.csv")]) == 2
    assert "Use another --root, or remove that folder" in capfd.readouterr().err
    assert main(label) == 2
    assert "Give --labels, --spans or --masks" in capfd.readouterr().err


def test_masks_are_labelled_listed_and_refused_where_the_folder_is_another(
    workspace: Workspace, ray_session: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my masks"
    videos = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    for video in videos:
        (folder / video["video_id"]).mkdir(parents=True)
        pixels = np.ones((video["height"], video["width"]), bool)
        (folder / video["video_id"] / "500.png").write_bytes(encode_mask(pixels))
    (folder / "gone").mkdir()
    (folder / "gone" / "500.png").write_bytes(b"x")
    (folder / videos[0]["video_id"] / "1500.png").write_bytes(b"x")
    command = ["label", "--root", workspace.root, "--masks", str(folder)]
    assert main(command) == 0
    output = capfd.readouterr().out
    assert "folder my masks: 8 masks; 6 of 7 videos are here; not gone\n" in output
    assert "masks: 6 of all that sounds, at 6 moments of 6 videos\n" in output
    assert f"not kept: 0 mask_mismatch, 1 unreadable, first {videos[0]['video_id']}/1500.png: begins with" in output
    assert f"label: 6 kept, 1 unreadable -> {workspace.root}/masks\n" in output
    sql = output.partition('"')[2].partition('"')[0]
    assert main(["query", "--root", workspace.root, sql]) == 0
    assert "unreadable" in capfd.readouterr().out
    facts = workspace.stage("masks")
    assert (facts["num_masks"], facts["num_unreadable"], facts["settings"]["masks"]) == (6, 1, "my masks")
    assert main(command) == 0
    assert "nothing to do, every part has its masks" in capfd.readouterr().out
    (folder / videos[0]["video_id"] / "1500.png").unlink()
    assert main(command) == 2
    assert f"`earshot clean --from masks --root {workspace.root}`" in capfd.readouterr().err
    assert main(["clean", "--root", workspace.root, "--from", "masks", "--yes"]) == 0
    assert not list(files.list_files(workspace.uri("masks")))
    assert workspace.parts("masks") == []
    assert main(["label", "--root", str(tmp_path / "empty"), "--masks", str(tmp_path / "gone")]) == 2
