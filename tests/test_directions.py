"""Which value of a figure is better."""

from pipeline.learners import LEARNERS
from pipeline.metrics.directions import LOWER_IS_BETTER, NEAREST_TO_ZERO_IS_BEST, goodness


def test_the_better_value_has_the_higher_number() -> None:
    assert goodness("auc_roc", 0.9) > goodness("auc_roc", 0.8)
    assert goodness("worse_share", 0.1) > goodness("worse_share", 0.2)
    assert goodness("median_level_db", -0.1) > goodness("median_level_db", 0.5)


def test_each_headline_that_counts_what_is_bad_is_one_where_lower_is_better() -> None:
    kinds = [kind for entry in LEARNERS.values() for kind in entry.evaluations()]
    metrics = {headline.metric for kind in kinds for headline in kind.headlines}
    bad = {name for name in metrics if "worse" in name or "error" in name or "alarm" in name}
    assert bad <= set(LOWER_IS_BETTER)
    assert set(LOWER_IS_BETTER).isdisjoint(NEAREST_TO_ZERO_IS_BEST)
