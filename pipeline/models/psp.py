"""Positive sample propagation (PSP): segments of picture and sound that agree share their features across time.

In: features of N segments of one second: R cells of the picture, one row of the sound. Out: fused segments, and what a
head makes of them. Zhou et al. 2021 (PSP, CVPR, arXiv:2104.00239) and 2022 (CPSP, TPAMI): the sound guides attention
over the cells, two BiLSTMs run over the segments of either modality, and each segment takes in those of the other
modality that are similar to it, at whatever time.

The variants that were published differ in places; `PSPConfig` has them as fields:

    CPSP, all; PSP with full labels     the defaults; head = joint for PSP
    PSP with weak labels                head = joint, embed_audio, output_layer and renormalise = false
"""

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.config import Count, config_dataclass
from pipeline.models.attention import AdditiveAttention

EPSILON = 1e-8  # of the sums that rows are divided by, as published


@config_dataclass
class PSPConfig:
    """Widths and variant of the network; the defaults are the published ones."""

    head: Literal["separate", "joint"] = "separate"
    """separate: whether each segment has an event, and one category for the clip (CPSP). joint: for each segment one of
    the categories or background (PSP)."""
    embedding_dim: Count = 256
    """Width between the two dense layers that take each modality to `segment_dim`."""
    segment_dim: Count = 128
    """Width of a segment of either modality before its BiLSTM."""
    lstm_dim: Count = 128
    """Width of each direction of the BiLSTMs; segments have twice that from there on."""
    attention_dim: Count = 512
    """Width to which attention takes the cells and the sound: most of the arithmetic is here."""
    map_dim: Count = 49
    """Width in which attention compares them."""
    joint_dim: Count = 64
    """Width before the last layer of head = joint."""
    embed_audio: bool = True
    """Whether sound has its dense layers too, before attention and BiLSTM."""
    propagate: bool = True
    """Whether segments take in those of the other modality; false leaves the rest of the network as it is."""
    threshold: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of a row's similarity from which a segment is taken in. none: 0.99 / N with full labels and without any,
    0.95 / N with weak ones, the published 0.099 and 0.095 for 10 segments, just below an even share."""
    renormalise: bool = True
    """Whether the shares above the threshold are divided by their sum."""
    output_layer: bool = True
    """Whether a dense layer with ReLU and dropout follows, before the layer norm that both modalities share."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of numbers that training sets to zero, after each ReLU of the propagation."""

    @property
    def width(self) -> int:
        """D of fused segments."""
        return 2 * self.lstm_dim


class Segments(NamedTuple):
    """Segments of B clips, [B, N, D] each."""

    visual: Tensor
    """Of the picture, after the propagation."""
    audio: Tensor
    """Of the sound."""
    fused: Tensor
    """Their mean."""


def propagation_weights(affinity: Tensor, threshold: float, renormalise: bool) -> Tensor:
    """Shares [B, N, N] of what each row takes of the columns: those above the threshold, 0 elsewhere.

    Each row of relu(affinity) is divided by its sum plus EPSILON; shares of at most `threshold` become 0. The rest is
    divided by its sum plus EPSILON again, if `renormalise`. A row without any share above the threshold is exactly 0.
    """
    share = torch.relu(affinity)
    share = share / (share.sum(dim=-1, keepdim=True) + EPSILON)
    share = torch.where(share > threshold, share, 0.0)
    return share / (share.sum(dim=-1, keepdim=True) + EPSILON) if renormalise else share


class Propagation(nn.Module):
    """PSP between two sequences of the same length and width: two branches of each, and an affinity of all pairs.

    beta = relu(v2 a1^T / sqrt(D)), with v1, v2, a1, a2 = dropout(relu(W x)) of the picture's and the sound's segments;
    v + gamma a2 and a + gamma' v1, where gamma and gamma' are `propagation_weights` of beta and of its transpose; then
    layer norm of dropout(relu(W x)).
    """

    def __init__(self, config: PSPConfig, threshold: float) -> None:
        super().__init__()
        self.config, self.threshold, width = config, threshold, config.width
        self.branches = nn.ModuleDict()
        if config.propagate:
            names = ("visual_1", "visual_2", "audio_1", "audio_2")
            self.branches.update({name: _dense(width, width) for name in names})
        self.outputs = nn.ModuleDict()
        if config.output_layer:
            self.outputs.update({name: _dense(width, width) for name in ("visual", "audio")})
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, visual: Tensor, audio: Tensor) -> Segments:
        """Segments that have taken in each other, of visual and audio [B, N, D]."""
        if self.config.propagate:
            visual, audio = self._exchange(visual, audio)
        if self.config.output_layer:
            visual = self.dropout(torch.relu(self.outputs["visual"](visual)))
            audio = self.dropout(torch.relu(self.outputs["audio"](audio)))
        visual, audio = self.norm(visual), self.norm(audio)
        return Segments(visual, audio, (visual + audio) / 2)

    def _exchange(self, visual: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        def branch(name: str, rows: Tensor) -> Tensor:
            return self.dropout(torch.relu(self.branches[name](rows)))

        affinity = branch("visual_2", visual) @ branch("audio_1", audio).mT / self.config.width**0.5
        rule = (self.threshold, self.config.renormalise)
        from_audio = propagation_weights(affinity, *rule) @ branch("audio_2", audio)
        from_visual = propagation_weights(affinity.mT, *rule) @ branch("visual_1", visual)
        return visual + from_audio, audio + from_visual


class SeparateHead(nn.Module):
    """CPSP: an event or none in each segment, and the category of the clip."""

    def __init__(self, config: PSPConfig, num_categories: int) -> None:
        super().__init__()
        self.event = nn.Linear(config.width, 1)
        self.category = nn.Linear(config.width, num_categories)

    def forward(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of an event [B, N] and of the clip's category [B, K], of fused segments [B, N, D]."""
        return self.event(fused).squeeze(2), self.category(fused.mean(dim=1))

    def pooled(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, K] max_t sigma(e_t) c, by which a clip's tag alone can train the head; and [B] max_t e_t."""
        event, category = self(fused)
        return (event.sigmoid().unsqueeze(2) * category.unsqueeze(1)).amax(dim=1), event.amax(dim=1)

    def probabilities(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """Probability [B, N] of an event in each segment, and [B, N, K] of its category if there is one."""
        event, category = self(fused)
        return event.sigmoid(), category.softmax(dim=1).unsqueeze(1).expand(-1, event.shape[1], -1)


class JointHead(nn.Module):
    """PSP: one of the categories, or background, in each segment."""

    def __init__(self, config: PSPConfig, num_categories: int, weigh_segments: bool) -> None:
        """`weigh_segments` multiplies a segment's logits by sigma(relu(W x)) of them, as PSP does with weak labels."""
        super().__init__()
        self.hidden = _dense(config.width, config.joint_dim)
        self.score = _dense(config.joint_dim, num_categories + 1)
        self.weight = nn.Linear(num_categories + 1, 1, bias=False) if weigh_segments else None

    def forward(self, fused: Tensor) -> Tensor:
        """Logits [B, N, K + 1], background last, of fused segments [B, N, D]."""
        scores = self.score(torch.relu(self.hidden(fused)))
        return scores if self.weight is None else scores * torch.relu(self.weight(scores)).sigmoid()

    def pooled(self, fused: Tensor) -> Tensor:
        """Logits [B, K + 1] of the clip, the mean over its segments, by which its tag alone can train the head."""
        return self(fused).mean(dim=1)

    def probabilities(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """Probability [B, N] of an event in each segment, and [B, N, K] of its category if there is one.

        Of an event: that of the most probable category against background alone. It exceeds 1/2 exactly where some
        category's logit is above background's, which is the published decision.
        """
        scores = self(fused)
        categories, background = scores[..., :-1], scores[..., -1]
        return (categories.amax(dim=2) - background).sigmoid(), categories.softmax(dim=2)


class PSPModel(nn.Module):
    """Features of a clip's segments -> fused segments; `head` makes logits and probabilities of these."""

    def __init__(
        self,
        config: PSPConfig,
        *,
        visual_dim: int,
        audio_dim: int,
        num_categories: int,
        threshold: float,
        is_weak: bool,
    ) -> None:
        """A fresh network.

        Args:
            visual_dim: C of the picture's cells.
            audio_dim: A of the sound.
            num_categories: K, without background.
            threshold: of the propagation, a share of a row from 0 to 1.
            is_weak: whether tags of clips train it; a joint head then weighs segments.
        """
        super().__init__()
        self.embed_audio = _two_layers(audio_dim, config) if config.embed_audio else None
        guide_dim = config.segment_dim if config.embed_audio else audio_dim
        self.attention = AdditiveAttention(
            query_dim=guide_dim, row_dim=visual_dim, hidden_dim=config.attention_dim, map_dim=config.map_dim
        )
        self.embed_visual = _two_layers(visual_dim, config)
        self.visual_lstm = nn.LSTM(config.segment_dim, config.lstm_dim, batch_first=True, bidirectional=True)
        self.audio_lstm = nn.LSTM(guide_dim, config.lstm_dim, batch_first=True, bidirectional=True)
        self.propagation = Propagation(config, threshold)
        self.head: SeparateHead | JointHead
        if config.head == "separate":
            self.head = SeparateHead(config, num_categories)
        else:
            self.head = JointHead(config, num_categories, weigh_segments=is_weak)

    def forward(self, visual: Tensor, audio: Tensor) -> Segments:
        """Fused segments, fp32 (float64 where the weights are).

        Args:
            visual: [B, N, R, C] cells of each segment's picture, any floating type.
            audio: [B, N, A] its sound.
        """
        precision = self.propagation.norm.weight.dtype
        visual, audio = visual.to(precision), audio.to(precision)
        if self.embed_audio is not None:
            audio = self.embed_audio(audio)
        attended, _ = self.attention(audio, visual)
        seen, _ = self.visual_lstm(self.embed_visual(attended))
        heard, _ = self.audio_lstm(audio)
        with torch.autocast(visual.device.type, enabled=False):  # affinities beside a threshold, and small
            return self.propagation(seen.to(precision), heard.to(precision))


def _dense(in_dim: int, out_dim: int) -> nn.Linear:
    """A layer without bias, Xavier's uniform weights."""
    layer = nn.Linear(in_dim, out_dim, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer


def _two_layers(in_dim: int, config: PSPConfig) -> nn.Sequential:
    """To `segment_dim` by way of `embedding_dim`, without bias and with nothing between, as published."""
    return nn.Sequential(
        nn.Linear(in_dim, config.embedding_dim, bias=False),
        nn.Linear(config.embedding_dim, config.segment_dim, bias=False),
    )
