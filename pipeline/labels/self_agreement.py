"""Judgements of clips that a rater was shown twice -> how far each rater agrees with themself.

A rater who does not repeat an answer cannot agree with others beyond it: this bounds the agreement between raters, and
is measured by the same figure, Fleiss' kappa, the first and the second answer being the two ratings of a clip.
"""

import collections

import numpy as np

from pipeline.labels.label_files import FileRows
from pipeline.metrics.agreement import Agreement, fleiss_kappa

NUM_ANSWERS = 4  # on_screen or not, off_screen or not


def self_agreement(rows: FileRows) -> dict[str, Agreement]:
    """Agreement of each named rater's repeated answers with the first ones, and of all of them under "".

    Args:
        rows: of `read_judgements`. A repeat without a first answer of the same rater, video and span says nothing.
    Returns:
        By rater, in the order of the alphabet; nothing without a repeat that can be compared.
    """
    first: dict[tuple[str, ...], int] = {}
    repeats = []
    columns = ("video", "rater", "start_s", "end_s", "on_screen", "off_screen", "is_repeat")
    if not rows.table["is_repeat"].to_numpy().any():
        return {}
    for row in zip(*(rows.table[name].to_pylist() for name in columns), strict=True):
        *span, on_screen, off_screen, is_repeat = row
        answer = 2 * on_screen + off_screen
        if not span[1]:
            continue
        if is_repeat:
            repeats.append((tuple(span), answer))
        else:
            first[tuple(span)] = answer
    pairs = collections.defaultdict(list)
    for key, answer in repeats:
        if key in first:
            pairs[key[1]].append((first[key], answer))
    if not pairs:
        return {}
    everyone = [pair for own in pairs.values() for pair in own]
    return {"": fleiss_kappa(_counts(everyone))} | {
        rater: fleiss_kappa(_counts(pairs[rater])) for rater in sorted(pairs)
    }


def repeat_facts(found: Agreement) -> dict[str, float | int | None]:
    """What the record of the labels keeps of a rater's agreement with themself."""
    return {
        "fleiss_kappa": found.kappa if found.kappa == found.kappa else None,  # JSON has no NaN
        "num_same": round(found.observed * found.num_items),
        "num_repeated": found.num_items,
    }


def _counts(pairs: list[tuple[int, int]]) -> np.ndarray:
    """[N, NUM_ANSWERS] how often each answer was given to each clip."""
    return np.stack([np.bincount(pair, minlength=NUM_ANSWERS) for pair in np.array(pairs)])
