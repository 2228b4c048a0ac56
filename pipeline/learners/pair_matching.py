"""Does this sound belong to this picture, as people judge it: the match classifier of a model, taught by judged pairs.

In: a trained coincidence model, its embeddings of clips (scores/<first_model>), and a table of pairs with 0 or 1. Out:
the same towers, or projections, with a classifier that goes on from the first one's and is calibrated on the pairs of
held-out videos. A pair's probability is for matches as frequent as among the judged pairs.

Design note: the towers stay as they are. A few hundred judgements are enough for the 33 000 weights of a classifier
that is good already, and would be learnt by heart by millions; the clips need not even be read.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import Clip
from pipeline.errors import ConfigError
from pipeline.hashing import as_dict
from pipeline.learners.coincidence import CoincidenceLearner, video_numbers
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.judged_pairs import PairSet
from pipeline.learners.loading import build, load_model
from pipeline.learners.matching import EmbeddedBatch, ScoredPairs, calibrate_on, retrieval
from pipeline.models.towers import SharedSpace
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.protocols import Batch, Context


class PairLearner(CoincidenceLearner):
    """Embeddings of pairs that people judged."""

    reads = "pairs"
    needs_whole_batch = False

    def __init__(self, config: CoincidenceLearnerConfig) -> None:
        super().__init__(config)
        self.training = config.pair_training
        self._without_pairs: CoincidenceLearner = build(self.name, as_dict(dataclasses.replace(config, pairs=None)))
        self.vector_columns = config.inputs

    @staticmethod
    def is_for(config: CoincidenceLearnerConfig) -> bool:
        """Where there are pairs."""
        return config.pairs is not None

    def check_settings(self, spec: ClipSpec, configs: Mapping[str, Any]) -> None:
        """Raises as the learner of the first model does."""
        self._without_pairs.check_settings(spec, configs)

    def builds_on(self) -> dict[str, str]:
        """The model whose classifier learns."""
        return {self.config.first_model: self.name}

    def weight_files(self) -> dict[str, str]:
        """None: the first model has learnt on from them."""
        return {}

    def model(self) -> SharedSpace:
        """A fresh model as the first one, of which the classifier alone learns.

        Raises:
            ConfigError: it has no classifier.
        """
        network = self._without_pairs.model().requires_grad_(False)
        if network.matcher is None:
            raise ConfigError(
                "coincidence.model.matcher = cosine: there is no classifier that pairs could teach. Expected concat or "
                "product in the first model."
            )
        network.matcher.requires_grad_(True)
        return network

    def initialise(self, model: SharedSpace, workspace: Workspace) -> None:
        """Start from the first model, its classifier included. Raises as `load_model`."""
        _, first = load_model(workspace, self.config.first_model, self.name)
        model.load_state_dict(first.state_dict())

    def batch(self, clips: ClipSet[Clip], rng: np.random.Generator, count: int, rows: slice, augment: bool) -> Batch:
        """visual [B, D], audio [B, D], match [B] in {0, 1} and video [B], the picture's, of pairs at random."""
        assert isinstance(clips, PairSet)
        chosen = rng.permutation(len(clips))[:count][rows]
        values = {"visual": clips.visual[chosen], "audio": clips.audio[chosen], "match": clips.match[chosen]}
        batch = {name: torch.from_numpy(rows) for name, rows in values.items()}
        return batch | {"video": video_numbers(clips, chosen)}

    def unpack(self, batch: Batch) -> Batch:
        """The batch as it is."""
        return batch

    def loss(self, model: SharedSpace, batch: Batch) -> dict[str, Tensor]:
        """`cross_entropy`, and `matched`, the share of pairs that are judged as people did."""
        logits = model.score_logit(batch["visual"], batch["audio"])
        error = F.binary_cross_entropy_with_logits(logits, batch["match"])
        matched = ((logits > 0) == (batch["match"] > 0)).float().mean()
        return {"loss": error, "cross_entropy": error, "matched": matched}

    @torch.no_grad()
    def conclude(
        self,
        model: SharedSpace,
        train_set: ClipSet[Clip],
        validation_set: ClipSet[Clip],
        seed: int,
        context: Context,
    ) -> dict[str, float]:
        """Calibrate the classifier on held-out pairs; figures of `matching.calibrate`, and `num_pairs`.

        Without held-out pairs of both kinds it is calibrated on those it has learnt from, and there are no figures.
        """
        model.eval()
        assert isinstance(train_set, PairSet)
        assert isinstance(validation_set, PairSet)
        is_held_out = len(set(validation_set.match.tolist())) == 2
        pairs = validation_set if is_held_out else train_set
        visual, audio = (torch.from_numpy(rows).to(context.device) for rows in (pairs.visual, pairs.audio))
        logit = model.score_logit(visual, audio).double().cpu().numpy()
        cosine = (visual * audio).sum(dim=1).double().cpu().numpy()
        figures = calibrate_on(model, _halves(logit, cosine, pairs))
        if not is_held_out:
            return {}
        own = torch.from_numpy(pairs.match > 0)
        video = torch.from_numpy(pairs.video_index.astype(np.int64))
        matched = EmbeddedBatch(visual[own], audio[own], video[own].to(context.device))
        return figures | retrieval(model, matched) | {"num_pairs": float(len(pairs))}

    def embed(self, model: SharedSpace, clips: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As the learner of the first model does."""
        return self._without_pairs.embed(model, clips)


def _halves(logit: np.ndarray, cosine: np.ndarray, pairs: PairSet) -> list[ScoredPairs]:
    """The pairs of every other picture's video, and the rest; all in one if a half would lack matches or others."""
    video, match = pairs.video_index, pairs.match
    rows = [video % 2 == half for half in (0, 1)]
    if any(len(set(match[half].tolist())) < 2 for half in rows):
        rows = [np.ones(len(video), bool)]
    return [
        ScoredPairs(logit[of], cosine[of], match[of], video[of], num_videos=len(np.unique(video[of]))) for of in rows
    ]
