"""AVSBench's three data sets, from their trees to figures: ingested, trained on for a few steps, and evaluated."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from jobs.cli import main
from pipeline.evaluation.mask_evaluation import MaskEvaluation
from pipeline.storage.workspace import Workspace
from schemas.frames import FRAMES
from tests.helpers.avsbench_trees import Video, write_ms3, write_s4, write_semantic

VIDEOS = [
    *(Video(f"train{number}", "train", subset="v1m", seed=number) for number in range(3)),
    Video("val0", "val", subset="v1m", sounding=("red", "blue")),
    Video("test0", "test", subset="v2", sounding=("blue",)),
    Video("test1", "test", subset="v1s", seed=1, sounding=()),
]
NETWORK = ("backbone=plain", "frame_size=32", "channels=16", "inter_channels=16", "audio=tower")
TOWERS = ("backbone=small_cnn", "frame_size=32", "width=0.25", "embedding_dim=16")
STEPS = ("num_steps=2", "batch_size=2", "validate_every=2", "num_validation_batches=1")
SETTINGS = [
    *(f"segmentation.model.{setting}" for setting in NETWORK),
    *(f"segmentation.model.towers.{setting}" for setting in TOWERS),
    *(f"segmentation.training.{setting}" for setting in STEPS),
    "segmentation.first_model=none",
]


@pytest.mark.parametrize("name", ["s4", "ms3", "semantic"])
def test_a_published_set_is_ingested_trained_on_and_evaluated(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write: dict[str, Callable[[Path, Sequence[Video]], Path]] = {
        "s4": write_s4,
        "ms3": write_ms3,
        "semantic": write_semantic,
    }
    root = str(tmp_path / "root")
    assert main(["-q", "ingest", f"avsbench-{name}", str(write[name](tmp_path / "tree", VIDEOS)), "--root", root]) == 0
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    assert main(["-q", "train", "segmentation", "--root", root, "--workers", "0", *settings]) == 0
    assert "2 steps" in capsys.readouterr().out
    workspace = Workspace(root)
    evaluation = MaskEvaluation(workspace, "segmentation")
    for part in evaluation.pending():
        evaluation(part)
    rows = workspace.read_all(evaluation.table(FRAMES), FRAMES).to_pylist()
    of_test = [video.masks()[: 10 if name == "semantic" else 5] for video in VIDEOS if video.split == "test"]
    masks = np.concatenate(of_test)
    assert len(rows) == 3 * len(masks)  # with its own sound, muted, and another's
    found = {(row["eval_set"], row["metric"]): row["value"] for row in evaluation.summarise()}
    assert found["full_mask", "miou"] == pytest.approx(masks.mean(axis=(1, 2)).mean(), abs=1e-3)
    assert found["empty_mask", "miou"] == pytest.approx((~masks.any(axis=(1, 2))).mean(), abs=1e-6)
    assert 0 <= found["test", "miou"] <= 1
