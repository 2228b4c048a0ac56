"""A probe finds a class that is there in the features of other folds, and is at chance where it is not."""

import numpy as np
import pytest

from pipeline.metrics.linear_probe import predict_by_probe


def examples(shift: float, num_classes: int = 4, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise in 16 dimensions, of which each class moves one; classes and folds are independent."""
    rng = np.random.default_rng(0)
    classes, folds = rng.integers(num_classes, size=count), rng.integers(5, size=count)
    features = rng.standard_normal((count, 16))
    features[np.arange(count), classes] += shift
    return features, classes, folds


def test_a_class_that_moves_the_features_is_found_and_no_other() -> None:
    features, classes, folds = examples(shift=6.0)
    assert (predict_by_probe(features, classes, folds) == classes).mean() > 0.97
    features, classes, folds = examples(shift=0.0)
    assert (predict_by_probe(features, classes, folds) == classes).mean() == pytest.approx(0.25, abs=0.07)


def test_scale_and_place_of_features_do_not_matter() -> None:
    features, classes, folds = examples(shift=2.0)
    names = np.array(["a", "b", "c", "d"])[classes]
    moved = predict_by_probe(1000 * features[:, ::-1] + 7, names, folds)
    assert (moved == np.array(["a", "b", "c", "d"])[predict_by_probe(features, classes, folds)]).mean() > 0.99


def test_an_example_is_tried_on_a_probe_that_has_not_seen_its_fold() -> None:
    """Features that name the fold and a class that is the fold: what was seen of other folds is no help."""
    folds = np.repeat(np.arange(4), 20)
    features = np.eye(4)[folds] + 0.01 * np.random.default_rng(0).standard_normal((80, 4))
    assert (predict_by_probe(features, folds, folds) == folds).sum() == 0


def test_a_fold_of_one_class_gives_that_class() -> None:
    assert predict_by_probe(np.zeros((4, 2)), np.array([1, 1, 2, 2]), np.array([0, 0, 1, 1])).tolist() == [2, 2, 1, 1]


def test_what_cannot_be_probed_is_refused() -> None:
    features, classes, folds = examples(1.0)
    with pytest.raises(ValueError, match="two or more"):
        predict_by_probe(features, classes, 0 * folds)
    with pytest.raises(ValueError, match="expected"):
        predict_by_probe(features, classes[:3], folds)
    with pytest.raises(ValueError, match="NaN"):
        predict_by_probe(np.full_like(features, np.nan), classes, folds)
