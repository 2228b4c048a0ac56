"""The registry of learners. A seed system is one file of this folder and one entry here; commands learn it from here.

An entry names classes by their path and imports them on first use: the command line lists learners without torch.
"""

import pkgutil
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One seed system."""

    help: str
    """What it learns, for the help of `earshot train`."""
    learner_path: str
    """module:Class of its `pipeline.training.protocols.Learner`."""
    evaluation_path: str
    """module:Class of its `pipeline.evaluation.evaluating.Evaluation`; the module imports neither torch nor sklearn."""

    def learner(self) -> Any:
        """The learner's class."""
        return pkgutil.resolve_name(self.learner_path)

    def evaluation(self) -> Any:
        """The class of its evaluation."""
        return pkgutil.resolve_name(self.evaluation_path)


LEARNERS = {
    "coincidence": Entry(
        "which sound belongs to which picture",
        "pipeline.learners.coincidence:CoincidenceLearner",
        "pipeline.evaluation.match_evaluation:MatchEvaluation",
    ),
    "separation": Entry(
        "separates a mixture into sources, and finds those that are on screen",
        "pipeline.learners.separation:SeparationLearner",
        "pipeline.evaluation.onscreen_evaluation:OnScreenEvaluation",
    ),
}
