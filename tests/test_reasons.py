"""The first rule that refuses a clip is its reason."""

import numpy as np

from pipeline.selection.reasons import Reasons


def mask(*rows: int) -> np.ndarray:
    return np.isin(np.arange(5), rows)


def test_the_first_reason_stays_and_rules_may_share_one() -> None:
    reasons = Reasons(5)
    assert reasons.refuse(mask(0, 1), "no_peav").tolist() == mask(0, 1).tolist()
    assert reasons.refuse(mask(1, 2), "late").tolist() == mask(2).tolist()
    assert reasons.refuse(mask(2, 3), "no_peav").tolist() == mask(3).tolist()
    assert reasons.refuse(mask(0), "never_first").sum() == 0
    assert reasons.texts().to_pylist() == ["no_peav", "no_peav", "late", "no_peav", "kept"]
    assert reasons.has("no_peav").tolist() == mask(0, 1, 3).tolist()
    assert reasons.count() == {"no_peav": 3, "late": 1, "kept": 1}


def test_what_is_refused_of_some_clips_is_not_refused_of_the_others() -> None:
    reasons = Reasons(5)
    reasons.refuse(mask(0, 3), "late")
    last = reasons.part(2, 3)
    last.refuse(~last.passed | True, "not_top_clip")
    assert last.texts().to_pylist() == ["not_top_clip", "late", "not_top_clip"]
    assert reasons.passed.tolist() == (~mask(0, 3)).tolist()


def test_no_clips_have_no_reasons() -> None:
    assert (Reasons(0).count(), len(Reasons(0).texts())) == ({}, 0)
