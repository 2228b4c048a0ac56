"""Separated examples of the report: they sound as their figures say."""

import base64
import io
import shutil

import numpy as np
import pytest
import soundfile
import torch
from conftest import World

from pipeline.reports.querying import query
from pipeline.reports.separated_examples import NUM_EXAMPLES, SEPARATED, SeparatedShown, lit, show_separated
from pipeline.storage.workspace import Workspace
from tests.helpers.evaluated_separation import evaluate_separation
from tests.helpers.si_snr import si_snr


@pytest.fixture(scope="module")
def evaluated(world: World, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return evaluate_separation(world.workspace, tmp_path_factory.mktemp("separated") / "workspace")


@pytest.fixture(scope="module")
def shown(evaluated: Workspace) -> list[SeparatedShown]:
    return show_separated(evaluated, query(evaluated, SEPARATED))


def sounds_of(example: SeparatedShown) -> dict[str, np.ndarray]:
    decoded = {}
    for name, address, spectrogram in example.sounds:
        if not address:  # silence
            assert not spectrogram
            continue
        decoded[name], _ = soundfile.read(io.BytesIO(base64.b64decode(address.partition(",")[2])))
        assert spectrogram.startswith("data:image/jpeg;base64,")
    return decoded


def test_each_set_has_its_best_and_worst_examples_of_different_videos(shown: list[SeparatedShown]) -> None:
    for eval_set in ("on_mom", "off_mom"):
        of_set = [example for example in shown if example.eval_set == eval_set]
        assert {example.which for example in of_set} == {"best", "worst"}  # four videos: no room for a middle
        assert len({example.video for example in of_set}) == len(of_set) == 2 * NUM_EXAMPLES
        best, worst = ([e.value_db for e in of_set if e.which == which] for which in ("best", "worst"))
        assert min(best) >= max(worst)
        assert best == sorted(best, reverse=True)  # from both ends to the middle
        assert worst == sorted(worst)


def test_what_is_heard_has_the_figure_that_is_said(shown: list[SeparatedShown]) -> None:
    for example in shown:
        heard = sounds_of(example)
        if example.eval_set == "on_mom":
            estimate, mixture, reference = (torch.from_numpy(heard[n]) for n in ("estimate", "mixture", "reference"))
            gain_db = float(si_snr(reference, estimate) - si_snr(reference, mixture))
        else:
            assert "reference" not in heard
            gain_db = 10 * np.log10(np.sum(heard["mixture"] ** 2) / np.sum(heard["estimate"] ** 2))
        assert gain_db == pytest.approx(example.value_db, abs=0.1)  # of 16 bits
        assert len(example.frames) == 2


def test_a_model_that_is_gone_leaves_the_page_without_its_examples(evaluated: Workspace) -> None:
    rows = query(evaluated, SEPARATED)
    shutil.move(evaluated.uri("models/s"), evaluated.uri("models/moved"))
    try:
        assert show_separated(evaluated, rows) == []
    finally:
        shutil.move(evaluated.uri("models/moved"), evaluated.uri("models/s"))


def test_a_frame_is_bright_where_the_model_looked() -> None:
    picture = np.full((4, 6, 3), 200, np.uint8)
    drawn = lit(picture, np.array([[0.0, 0.5, 1.0]]))
    assert drawn[0, :, 0].tolist() == [60, 60, 130, 130, 200, 200]
