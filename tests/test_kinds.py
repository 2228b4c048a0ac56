"""What the things of the synthetic world look and sound like, one by one."""

import itertools

import numpy as np
import pytest

from pipeline.synthetic.kinds import KINDS, Note
from pipeline.synthetic.motions import Motion
from pipeline.synthetic.scenes import Source
from pipeline.synthetic.shapes import Layer
from pipeline.synthetic.sights import look
from pipeline.synthetic.sounds import RATE_HZ, synthesize
from tests.helpers.synthetic_sources import a_source


def test_a_painted_shape_covers_each_pixel_by_its_distance_and_leaves_the_others() -> None:
    rng = np.random.default_rng(0)
    layer, expected = Layer(9, 11, 4.0), np.zeros((1, 4, 9, 11))
    for number_of_frames, opacity in ((1, 1.0), (3, 0.5), (1, 1.0), (3, rng.random((3, 1, 1)).astype(np.float32))):
        distance = rng.normal(0.3, 0.3, (number_of_frames, 9, 11)).astype(np.float32)
        distance[:, :2] = 5.0  # two rows far outside
        colour = tuple(rng.random(3))
        layer.paint(distance, colour, opacity)
        covered = np.clip(0.5 - 4.0 * distance, 0, 1) * opacity  # a pixel is 1 / 4 wide
        weight = covered[:, None]
        expected = (1 - weight) * expected + weight * np.array([*colour, 1.0])[:, None, None]
    assert layer.pixels == pytest.approx(expected, abs=1e-6)
    layer.paint(np.full((1, 9, 11), 5.0, np.float32), (1.0, 1.0, 1.0))
    assert layer.pixels == pytest.approx(expected, abs=1e-6)
    assert not layer.pixels[:, :, :2].any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_moves_while_it_sounds_and_rests_while_it_is_silent(kind: str) -> None:
    source = a_source(kind, 0, spans=((1.0, 3.0),))
    assert source.thing is not None
    t = np.arange(0, 4, 1 / 12)
    pixels = look(source.thing, Motion(source.notes, source.spans), t, 160, 120).pixels
    change = np.abs(np.diff(pixels, axis=0)).mean(axis=(1, 2, 3))
    sounds = (t[1:] > 1.05) & (t[1:] < 2.9)
    rests = (t[1:] < 0.8) | (t[1:] > 3.35)
    assert change[rests].max() < 1e-4
    assert change[sounds].mean() > 0.002  # 0.2 % of the range, over all pixels of the thing's square
    envelope = np.abs(synthesize(source, 4 * RATE_HZ)).reshape(4, -1).max(axis=1)
    assert envelope[[0, 3]].max() < 1e-6
    assert envelope[[1, 2]].min() > 0.5


def spectrum_features(waveform: np.ndarray) -> np.ndarray:
    """Mean and spread over time of the log power in 40 bands of equal width in octaves."""
    windows = np.lib.stride_tricks.sliding_window_view(waveform, 1024)[::512] * np.hanning(1024)
    power = np.square(np.abs(np.fft.rfft(windows)))
    f = np.fft.rfftfreq(1024, 1 / RATE_HZ)
    edges = np.geomspace(60, 12000, 41)
    bands = [(f >= low) & (f < max(high, low + 32)) for low, high in itertools.pairwise(edges)]
    log_power = 10 * np.log10(np.stack([power[:, band].sum(axis=1) for band in bands], axis=1) + 1e-6)
    return np.concatenate([log_power.mean(axis=0) - log_power.mean(), log_power.std(axis=0)])


def shape_features(source: Source) -> np.ndarray:
    """24 x 24 silhouette and brightness edges, scaled to the silhouette's size, of a frame while it sounds."""
    assert source.thing is not None
    *colours, covered = look(source.thing, Motion(source.notes, source.spans), np.array([1.5]), 160, 120).pixels[0]
    rows, columns = np.nonzero(covered > 0.5)
    size = max(np.ptp(rows), np.ptp(columns)) + 1
    steps = (np.arange(24) / 23 - 0.5) * size
    y = np.clip(((rows.min() + rows.max()) / 2 + steps).astype(int), 0, len(covered) - 1)
    x = np.clip(((columns.min() + columns.max()) / 2 + steps).astype(int), 0, len(covered) - 1)
    slopes = np.hypot(*np.gradient(np.mean(colours, axis=0)[np.ix_(y, x)]))
    return np.concatenate([covered[np.ix_(y, x)].ravel(), 2 * np.minimum(slopes, 0.3).ravel()])


def nearest_centroid_accuracy(features: dict[str, np.ndarray]) -> float:
    """Share of the second half of each kind's examples that lie nearest to the mean of its own first half."""
    half = len(next(iter(features.values()))) // 2
    centroids = np.stack([examples[:half].mean(axis=0) for examples in features.values()])
    hits = [
        np.argmin(np.square(centroids - example).sum(axis=1)) == number
        for number, examples in enumerate(features.values())
        for example in examples[half:]
    ]
    return float(np.mean(hits))


def test_kinds_differ_by_timbre_at_any_pitch() -> None:
    features = {
        kind: np.stack([spectrum_features(synthesize(a_source(kind, n), 3 * RATE_HZ)) for n in range(6)])
        for kind in KINDS
    }
    assert nearest_centroid_accuracy(features) > 0.9  # chance is 1 in 12


def test_kinds_differ_by_shape_at_any_colour_and_size() -> None:
    features = {kind: np.stack([shape_features(a_source(kind, n)) for n in range(16)]) for kind in KINDS}
    assert nearest_centroid_accuracy(features) > 0.8  # chance is 1 in 12


def test_the_mouth_opens_further_for_a_than_for_i() -> None:
    source = a_source("speaker", 0)
    assert source.thing is not None
    dark = []
    for vowel in (0, 2):  # a, i
        note = Note(start_s=0.0, duration_s=1.0, pitch_hz=120.0, strength=1.0, shape=vowel)
        drawn = look(source.thing, Motion((note,), ((0.0, 1.0),)), np.array([0.5]), 160, 120).pixels[0]
        dark.append(int((drawn[0] < 0.3).sum()))
    assert dark[0] > dark[1] + 5
