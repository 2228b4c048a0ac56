"""The registry of learners. A seed system is one file of this folder and one entry here; commands learn it from here.

An entry names classes by their path and imports them on first use: the command line lists learners without torch.
"""

import pkgutil
from collections.abc import Mapping
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One seed system."""

    help: str
    """What it learns, for the help of `earshot train`."""
    learner_path: str
    """module:Class of its `pipeline.training.protocols.Learner`."""
    evaluation_path: str
    """module:Class of its `pipeline.evaluation.evaluating.Evaluation`; the module imports neither torch nor sklearn."""
    special_evaluation_paths: tuple[str, ...] = ()
    """Of evaluations for some of its models alone, by `Evaluation.is_for`."""
    special_learner_paths: tuple[str, ...] = ()
    """Of learners of the same name and config class for some configs alone, by `Learner.is_for`."""

    def learner(self) -> Any:
        """The learner's class."""
        return pkgutil.resolve_name(self.learner_path)

    def learners(self) -> list[Any]:
        """All its classes, those for some configs first."""
        return [pkgutil.resolve_name(path) for path in (*self.special_learner_paths, self.learner_path)]

    def build(self, config: Any) -> Any:
        """The learner of a config."""
        return next(kind for kind in self.learners() if kind.is_for(config))(config)

    def evaluation(self) -> Any:
        """The class of its evaluation."""
        return pkgutil.resolve_name(self.evaluation_path)

    def evaluations(self) -> list[Any]:
        """The classes of all its evaluations, those for some of its models first."""
        return [pkgutil.resolve_name(path) for path in (*self.special_evaluation_paths, self.evaluation_path)]

    def evaluation_of(self, settings: Mapping[str, Any]) -> Any:
        """The class of the evaluation of a model, by the settings in its record."""
        return next(kind for kind in self.evaluations() if kind.is_for(settings))


LEARNERS = {
    "coincidence": Entry(
        "which sound belongs to which picture",
        "pipeline.learners.coincidence:CoincidenceLearner",
        "pipeline.evaluation.match_evaluation:MatchEvaluation",
        special_learner_paths=(
            "pipeline.learners.pair_matching:PairLearner",
            "pipeline.learners.projections:ProjectionLearner",
        ),
    ),
    "separation": Entry(
        "separates a mixture into sources, and finds those that are on screen",
        "pipeline.learners.separation:SeparationLearner",
        "pipeline.evaluation.onscreen_evaluation:OnScreenEvaluation",
        ("pipeline.evaluation.sounds_evaluation:SoundsEvaluation",),
    ),
    "events": Entry(
        "which second of a clip holds an event that is seen and heard, and of what category",
        "pipeline.learners.events:EventsLearner",
        "pipeline.evaluation.event_evaluation:EventEvaluation",
    ),
    "segmentation": Entry(
        "which pixels of a picture make the sound that is heard",
        "pipeline.learners.segmentation:SegmentationLearner",
        "pipeline.evaluation.mask_evaluation:MaskEvaluation",
    ),
    "lipreading": Entry(
        "which sound lips make, and which words they speak",
        "pipeline.learners.lipreading:LipreadingLearner",
        "pipeline.evaluation.lipreading_evaluation:LipreadingEvaluation",
        ("pipeline.evaluation.word_evaluation:WordEvaluation",),
        ("pipeline.learners.words:WordsLearner",),
    ),
}
