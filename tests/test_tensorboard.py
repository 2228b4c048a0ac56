"""TensorBoard reads the curve that was written, in one unbroken file."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipeline.training.tensorboard import FILE_NAME, event_file

CURVE = [
    {"step": step, "split": split, "metric": "loss", "value": value, "elapsed_s": 2.0 * step}
    for step, split, value in ((3, "train", 1.5), (3, "validate", 1.25), (6, "train", 0.5))
]
STARTED = "2026-11-22T08:00:00+00:00"


def test_tensorboard_reads_every_figure_at_its_step_and_time(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(event_file(CURVE, STARTED))
    board = EventAccumulator(str(tmp_path)).Reload()
    assert sorted(board.Tags()["tensors"] + board.Tags()["scalars"]) == ["train/loss", "validate/loss"]
    found = [(event.step, event.value, event.wall_time) for event in board.Scalars("train/loss")]
    assert found == [(3, 1.5, 1795334406.0), (6, 0.5, 1795334412.0)]


def test_a_longer_curve_continues_the_bytes_of_the_shorter() -> None:
    whole = event_file(CURVE, STARTED)
    assert whole.startswith(event_file(CURVE[:2], STARTED))
    assert whole == event_file(CURVE, STARTED)
