"""Evaluation of coincidence: the scores of all clips -> how often a test picture is nearest to its own sound.

Where clips have labels, figures of the score beside them follow (`label_evaluation.py`). The metric that needs none is
`match_auc` of the set `held_out_pairs`: cosines of own sound and picture against those with another
video's sound, as the area under the ROC curve. The model has trained on whole splits: a test video that has a
duplicate in another split is left out, whichever selection's search found the duplicate.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.evaluating import VALIDATION, Evaluation, Headline, Row
from pipeline.hashing import hash_json
from pipeline.selection.embeddings import to_matrix
from pipeline.storage.layout import CLIPS_FOLDER, LABELS_FOLDER
from schemas.clips import CLIPS
from schemas.labels import LABELS
from schemas.reports import SummaryRow
from schemas.scores import SCORES


def _refused_otherwise(rule: str) -> Callable[[Mapping[Any, Any]], float | None]:
    """What a rule refuses of clips without flags: a recall is worth what it is above that."""
    return lambda figures: figures.get(f"refused_other_by_{rule}")


class MatchEvaluation(Evaluation):
    """Its source is what `earshot score` wrote, embeddings among it: no worker computes anything."""

    headlines = (
        Headline(VALIDATION, "validate_match_auc", "own sound against another video's, AUC, validation", 0.5, "chance"),
        Headline(
            VALIDATION,
            "validate_match_calibration_error",
            "calibration error of the score, validation",
            0.0,
            "a perfect score",
        ),
        *(
            Headline(
                VALIDATION,
                f"validate_{found}_recall_at_1",
                f"finds a {query}'s {found} first, R@1, validation, among {{validate_gallery:.0f}} videos",
                lambda figures: 1 / figures["validate_gallery"],
                "chance",
            )
            for query, found in (("sound", "picture"), ("picture", "sound"))
        ),
        Headline("held_out_pairs", "match_auc", "own sound against another video's, AUC", 0.5, "chance"),
        Headline(
            "labelled_test", "label_auc", "labelled on screen against off screen, AUC of the score", 0.5, "chance"
        ),
        *(
            Headline(
                "labelled_test",
                f"refused_{flag}_by_{rule}",
                f"of clips with {what}, refused by {limit}",
                _refused_otherwise(rule),
                "of clips without such flags",
            )
            for flag, rule, what, limit in (
                ("static_image", "frozen", "a still picture", "frozen_fraction > 0.85"),
                ("static_image", "score", "a still picture", "score < 0.5"),
                ("background_music", "score", "background music", "score < 0.5"),
                ("voice_over", "score", "a voice-over", "score < 0.5"),
            )
        ),
    )
    columns: ClassVar = {"match_auc": "match AUC", "label_auc": "label AUC"}
    source = "scores/{model}"

    def missing(self) -> str:
        """The scores, until all clips have theirs."""
        is_complete = self.workspace.has_stage(self.source) and not self.workspace.pending(CLIPS_FOLDER, self.source)
        return "" if is_complete else self.source

    def settings(self) -> Row:
        """The splits that the model was trained with, whatever the workspace's settings are by now, and the seed."""
        return {"splitting": self._splitting(), "seed": self.seed}

    def inputs(self) -> dict[str, str]:
        """The scores: their hash follows from the model's weights."""
        return {self.source: self.workspace.stage(self.source)["hash"]}

    def facts(self) -> Row:
        """Hashes of which parts are scored, which videos are duplicates, and of the labels: there may be more later."""
        from pipeline.clips.copies import duplicate_groups

        found = [self.workspace.parts(self.source), sorted(duplicate_groups(self.workspace).items())]
        has_labels = self.workspace.has_stage(LABELS_FOLDER)
        return {
            "seen": hash_json(found),
            "labels": self.workspace.stage(LABELS_FOLDER)["hash"] if has_labels else None,
        }

    def summarise(self) -> list[SummaryRow]:
        """The row of `held_out_pairs`, and where there are labels those of `labelled_<split>`."""
        from pipeline.evaluation.label_evaluation import label_figures

        rows = [self._match_auc()]
        if self.workspace.has_stage(LABELS_FOLDER):
            for eval_set, metric, value, count, interval in label_figures(self._labelled_clips()):
                rows.append(self.summary_row(eval_set, metric, value, "1", count, interval))
        return rows

    def _match_auc(self) -> SummaryRow:
        """Each test clip's picture with its own sound, and with that of a clip of another test video."""
        from pipeline.metrics.detection import matched_mismatched_auc
        from pipeline.training.batching import step_rng

        test = self._test_scores()
        videos = test["video_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        if len(np.unique(videos)) < 2:
            return self.summary_row("held_out_pairs", "match_auc", None, "1", 0)
        audio, visual = (to_matrix(test[f"{side}_embedding"]).astype(np.float32) for side in ("audio", "visual"))
        others = draw_others(videos, step_rng(self.seed))
        matched, mismatched = (audio * visual).sum(axis=1), (audio[others] * visual).sum(axis=1)
        auc = matched_mismatched_auc(matched, mismatched)
        return self.summary_row("held_out_pairs", "match_auc", auc, "1", 2 * len(videos))

    def _labelled_clips(self) -> pa.Table:
        """What `label_figures` needs of the scored clips that have a row of labels, without test videos that leak."""
        from pipeline.evaluation.label_evaluation import FLAGS
        from pipeline.evaluation.seen_videos import leaking_videos, split_of_videos

        splits = split_of_videos(self.workspace, self._splitting())
        leaking = leaking_videos(self.workspace, splits)
        tables = []
        for part in sorted(set(self.workspace.parts(self.source)) & set(self.workspace.parts(LABELS_FOLDER))):
            scores = self.workspace.read(self.source, part, SCORES, ["clip_id", "video_id", "score"])
            labels = self.workspace.read(LABELS_FOLDER, part, LABELS, ["clip_id", "label", *FLAGS])
            measures = self.workspace.read(CLIPS_FOLDER, part, CLIPS, ["clip_id", "frozen_fraction"])
            scores = scores.filter(pc.is_valid(scores["score"]))
            found = scores.join(labels, "clip_id", join_type="inner").join(measures, "clip_id", join_type="inner")
            videos = found["video_id"].to_pylist()
            of_video = pa.array(["" if video in leaking else splits[video] for video in videos], pa.string())
            tables.append(found.append_column("split", of_video).sort_by("clip_id"))
        return pa.concat_tables(tables) if tables else _no_clips(FLAGS)

    def _splitting(self) -> Any:
        from pipeline.clips.splitting import SplittingConfig
        from pipeline.config import from_dict

        return from_dict(SplittingConfig, self.workspace.stage(f"models/{self.model}")["settings"]["splitting"])

    def _test_scores(self) -> pa.Table:
        """Scored clips of the test videos that have no upload in another split."""
        from pipeline.evaluation.seen_videos import leaking_videos, split_of_videos

        splits = split_of_videos(self.workspace, self._splitting())
        leaking = leaking_videos(self.workspace, splits)
        test = [video for video, split in splits.items() if split == "test" and video not in leaking]
        held_out = pa.array(test, pa.string())
        columns = ["clip_id", "video_id", "audio_embedding", "visual_embedding"]
        tables = [SCORES.empty_table().select(columns)]
        for part in self.workspace.parts(self.source):
            scores = self.workspace.read(self.source, part, SCORES, columns)
            is_scored = pc.is_valid(scores["audio_embedding"])  # a damaged clip is not
            tables.append(scores.filter(pc.and_(is_scored, pc.is_in(scores["video_id"], held_out))))
        return pa.concat_tables(tables)


def _no_clips(flags: tuple[str, ...]) -> pa.Table:
    return pa.table({name: [] for name in ("video_id", "split", "score", "frozen_fraction", "label", *flags)})


def draw_others(videos: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[n] for each clip one of another video, any other video being as likely: `ClipSet.draw_other` for all clips.

    `videos` [n] holds the number of each clip's video; there are 2 videos or more.
    """
    counts = np.bincount(videos)
    video = rng.integers(len(counts) - 1, size=len(videos))
    video += video >= videos  # the number among the others becomes that among all
    place = (np.cumsum(counts) - counts)[video] + rng.integers(counts[video])
    return np.argsort(videos, kind="stable")[place]
