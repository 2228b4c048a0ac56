"""A score beside people's labels: figures by hand, over tables whose answer is known."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.evaluation.label_evaluation import FLAGS, label_figures


def table(rows: list[dict[str, Any]]) -> pa.Table:
    blank = dict.fromkeys(FLAGS) | {"label": "on_screen", "split": "test", "score": 0.9, "frozen_fraction": 0.0}
    texts = {"video_id": pa.string(), "split": pa.string(), "label": pa.string()}
    numbers = {"score": pa.float32(), "frozen_fraction": pa.float64()}
    schema = pa.schema(texts | numbers | dict.fromkeys(FLAGS, pa.bool_()))
    return pa.Table.from_pylist([blank | {"video_id": f"v{n}"} | row for n, row in enumerate(rows)], schema=schema)


def figures(rows: list[dict[str, Any]]) -> dict[tuple[str, str], tuple]:
    return {(of, metric): (value, count, interval) for of, metric, value, count, interval in label_figures(table(rows))}


def test_the_area_counts_on_screen_above_off_screen_and_nothing_else() -> None:
    scores = {"on_screen": (0.9, 0.4), "off_screen": (0.5, 0.4), "mixed": (0.0,), "quiet": (1.0,)}
    found = figures([{"label": label, "score": score} for label, of in scores.items() for score in of])
    value, count, _ = found["labelled_test", "label_auc"]
    assert (value, count) == (pytest.approx((2 + 0.5) / 4), 4)  # 0.9 above both, 0.4 below one and equal to one
    assert set(found) == {("labelled_test", "label_auc")}  # no row has a flag


def test_each_split_has_its_own_figures_and_one_class_alone_has_no_value() -> None:
    rows = [{"split": "train", "score": 0.8}, {"split": "train", "score": 0.1, "label": "off_screen"}, {"split": ""}]
    found = figures([*rows, {"split": "validate"}])
    assert found["labelled_train", "label_auc"][0] == 1.0
    assert found["labelled_validate", "label_auc"] == (None, 1, None)
    assert ("labelled_test", "label_auc") not in found


def test_recall_of_a_rule_is_the_share_of_flagged_clips_that_it_refuses() -> None:
    said = dict.fromkeys(FLAGS, False)
    still = [said | {"static_image": True, "frozen_fraction": value} for value in (1.0, 0.9, 0.85, None)]
    music = [said | {"background_music": True, "score": value} for value in (0.49, 0.5, 0.1)]
    plain = [said | {"score": 0.2}, said, said, said | {"frozen_fraction": 1.0}]
    found = figures([*still, *music, *plain, {"score": 0.0}])  # of the last nobody says anything
    shares = {metric: value[:2] for (_, metric), value in found.items() if metric != "label_auc"}
    assert shares == {
        "refused_static_image_by_frozen": (pytest.approx(2 / 4), 4),
        "refused_static_image_by_score": (0.0, 4),
        "refused_background_music_by_score": (pytest.approx(2 / 3), 3),
        "refused_background_music_by_frozen": (0.0, 3),
        "refused_other_by_score": (pytest.approx(1 / 4), 4),
        "refused_other_by_frozen": (pytest.approx(1 / 4), 4),
    }


def test_intervals_are_over_videos() -> None:
    rng = np.random.default_rng(0)
    rows = [{"label": label, "score": rng.normal(mean, 1), "video_id": f"{label}{n}"}
            for label, mean in (("on_screen", 1.0), ("off_screen", 0.0)) for n in range(40)]  # fmt: skip
    value, _, alone = figures(rows)["labelled_test", "label_auc"]
    again, count, tenfold = figures(rows * 10)["labelled_test", "label_auc"]  # ten clips of each video, all alike
    assert (again, count, tenfold) == (value, 800, alone)
    assert alone.low < value < alone.high
    assert alone.num_groups == 80
