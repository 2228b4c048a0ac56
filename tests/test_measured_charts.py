"""Measures of clips in the report: drawn of the kept clips, named and explained, and left out where there are none."""

import numpy as np
import pytest

from pipeline.reports.measured_charts import TITLES, explain_measures, list_measured
from pipeline.reports.reporting import make_report
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from tests.helpers.takedown_roots import row

RNG = np.random.default_rng(0)
SNR_DB = RNG.normal(30, 5, 400).tolist()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(str(tmp_path_factory.mktemp("measured")))
    rows = [
        row(CLIPS, clip_id=f"c{i}", outcome="kept", snr_db=value, num_channels=1 + i % 2)
        | {"bandwidth_hz": None if i % 4 else 1000.0 + i, "sounding_channels": None}
        for i, value in enumerate(SNR_DB)
    ]
    rows.append(row(CLIPS, clip_id="loud", outcome="silent", snr_db=1e6, num_channels=7) | {"sounding_channels": None})
    workspace.begin(CLIPS_FOLDER, {}, {})
    workspace.commit(CLIPS_FOLDER, "00000", from_rows(rows, CLIPS, "here"), CLIPS)
    return workspace


def test_each_measure_that_kept_clips_have_is_drawn_and_means_what_its_column_says(workspace: Workspace) -> None:
    found = {column.name: column for column in list_measured(workspace)}
    heights = [bar[3] for bar in found["signal-to-noise ratio, dB"].chart.bars]  # type: ignore[union-attr]
    low, high = np.quantile(SNR_DB, [0.005, 0.995], method="inverted_cdf")  # of kept clips: 1e6 is none of them
    expected = np.histogram(np.clip(SNR_DB, low, high), 20, (low, high))[0]
    assert np.allclose(np.array(heights) / max(heights), expected / max(expected), atol=1e-3)  # tenths of a pixel
    assert list(found) == ["signal-to-noise ratio, dB", "bandwidth, Hz", "channels of the file"]
    assert [(count.value, count.n) for count in found["channels of the file"].counts] == [("1", 200), ("2", 200)]
    assert [column.coverage for column in found.values()] == ["100 %", "25 %", "100 %"]
    meanings = explain_measures(list(found.values()))
    assert meanings["signal-to-noise ratio, dB"].startswith("estimated signal-to-noise ratio: level of 20 ms blocks")
    assert meanings.keys() == found.keys()


def test_the_page_has_them_and_their_words(workspace: Workspace) -> None:
    page = make_report(workspace).page
    assert '<h2 id="measured">Measures of clips</h2>' in page
    for title in ("signal-to-noise ratio, dB", "bandwidth, Hz"):
        assert page.count(f">{title}</h3>") == 1
        assert f"<dt>{title}</dt>" in page
    assert page.count("25 % have a value") == 1
    assert "sharpness</h3>" not in page


def test_every_title_is_of_a_column_that_says_what_it_means() -> None:
    assert all(CLIPS.field(name).metadata[b"doc"] for name in TITLES)
    assert len(set(TITLES.values())) == len(TITLES)
