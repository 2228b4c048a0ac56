"""What a linear classifier finds in frozen features: fitted to some examples, tried on others.

Conventions
-----------
Features are [N, D]; classes and folds are [N], folds being numbers from 0 on. An example is classified by a probe that
was fitted to the other folds alone, so every example counts once. Give what is alike, such as the clips of one video,
one fold, unless that likeness is what is asked for. Features are standardised by those that a probe is fitted to.

Metric
------
- `predict_by_probe`: the class that multinomial logistic regression gives each example.

References
----------
Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes", arXiv:1610.01644.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

INVERSE_PENALTY = 1.0  # scikit-learn's C: of the squares of weights of standardised features
MAX_ITERATIONS = 1000


def predict_by_probe(features: NDArray[np.floating], classes: NDArray, folds: NDArray[np.int_]) -> NDArray:
    """[N] the class of each example, by a probe that has not seen its fold.

    A fold whose complement has one class alone gets that class. Deterministic: a convex loss, from zero.

    Args:
        features: [N, D].
        classes: [N] numbers or names.
        folds: [N] in 0 and up; two or more different ones.
    Raises:
        ValueError: shapes that do not fit, features that are not finite, or a single fold.
    """
    from sklearn.linear_model import LogisticRegression  # takes 2 s: listing evaluations does without it

    if features.ndim != 2 or classes.shape != folds.shape or classes.shape != features.shape[:1]:
        raise ValueError(
            f"features {list(features.shape)}, classes {list(classes.shape)}, folds {list(folds.shape)}: expected "
            "[N, D], [N] and [N]."
        )
    if not np.isfinite(features).all():
        raise ValueError("features hold NaN or infinity, expected finite numbers.")
    if len(np.unique(folds)) < 2:
        raise ValueError(f"folds {np.unique(folds).tolist()}: expected two or more, to fit to one and try on another.")
    predicted = np.empty_like(classes)
    for fold in np.unique(folds):
        tried = folds == fold
        known = classes[~tried]
        if len(np.unique(known)) == 1:
            predicted[tried] = known[0]
            continue
        mean, std = features[~tried].mean(axis=0), features[~tried].std(axis=0) + 1e-8
        probe = LogisticRegression(C=INVERSE_PENALTY, max_iter=MAX_ITERATIONS)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")  # as with few clips
            probe.fit((features[~tried] - mean) / std, known)
        predicted[tried] = probe.predict((features[tried] - mean) / std)
    return predicted
