"""Warnings about a training's held-out videos: that they are too few, or that nothing was learnt about them."""

from typing import TYPE_CHECKING, Any

from jobs.console.messages import say

if TYPE_CHECKING:
    from pipeline.evaluation.evaluating import Headline

MIN_VIDEOS = 2


def warn_of_few(stage: str, job: dict[str, Any], count: int) -> None:
    """Warn if the split validate has no video or one, with which nothing is validated and the last weights are kept.

    Args:
        job: the model's record, of plain types.
        count: videos in the split.
    """
    if count < MIN_VIDEOS:
        fraction = job["splitting"]["validate_fraction"]
        of = next((f" of {kind} {job[kind]}" for kind in ("selection", "features") if job.get(kind)), "")
        _warn(
            stage,
            f"nothing is validated, and the weights of the last step are kept, because "
            f"{'only 1 video is' if count else 'no video is'} in the split validate{of}. Expected a few dozen. Raise "
            f"splitting.validate_fraction, {fraction} now, before you train and filter, or "
            "give the collection a column `split`.",
        )


def warn_of_chance(stage: str, headlines: "tuple[Headline, ...]", figures: dict[str, Any]) -> None:
    """Warn of each figure of training itself whose interval has its baseline, such as chance, in it or above it."""
    from pipeline.evaluation.evaluating import VALIDATION

    for _, metric, text, baseline, baseline_of in (row for row in headlines if row.eval_set == VALIDATION):
        low, high = figures.get(f"{metric}_low"), figures.get(f"{metric}_high")
        if low is None or high is None or callable(baseline) or low > baseline:
            continue
        _warn(
            stage,
            f"no better than {baseline_of} on the {figures['validate_num_videos']:.0f} held-out videos: {text}, is "
            f"{figures[metric]:.2f}, between {low:.2f} and {high:.2f} with 95 % confidence, and {baseline_of} is "
            f"{baseline:g}. What may help: more videos, more training steps, less augmentation where colour or pitch "
            "distinguishes things, or another preset. What is made from this model will be of no use.",
        )


def _warn(stage: str, message: str) -> None:
    say(f"{stage}: WARNING: {message}", "warning")
