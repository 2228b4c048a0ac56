"""Cut detection: cuts are found, light that goes on and pictures in any batches are not mistaken."""

import numpy as np

from pipeline.media.cuts import GRID, CutDetector, cell_means


def pictures(count: int, seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    """[count, H, W, 3] of one scene, with grain."""
    rng = np.random.default_rng(seed)
    scene = rng.integers(20, 200, (6, 8, 3)).repeat(height // 6, axis=0).repeat(width // 8, axis=1)
    return np.clip(scene + rng.normal(0, 3, (count, height, width, 3)), 0, 255).astype(np.uint8)


def test_the_first_picture_of_each_shot_but_the_first_is_a_cut() -> None:
    shots = np.concatenate([pictures(7, 0), pictures(9, 1), pictures(8, 2)])
    assert np.flatnonzero(CutDetector().find(shots)).tolist() == [7, 16]


def test_batches_make_no_difference() -> None:
    shots = np.concatenate([pictures(7, 0), pictures(9, 1)])
    detector = CutDetector()
    pieces = [found for piece in np.array_split(shots, 5) for found in detector.find(piece)]
    assert pieces == CutDetector().find(shots)


def test_a_flash_is_no_cut() -> None:
    shot = pictures(12, 0)
    shot[6] = np.clip(shot[6] * 1.6 + 10, 0, 255)
    assert not any(CutDetector().find(shot))


def test_cells_are_the_means_of_their_places() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (1, 80, 80, 3), np.uint8)
    expected = picture.reshape(1, GRID, 4, GRID, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(cell_means(picture), expected, rtol=1e-6)
