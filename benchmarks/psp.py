"""A training step of CPSP at the published sizes over the released design, in which everything is float64.

Usage: python -m benchmarks.psp [--steps 7]

64 clips of 10 segments of 49 x 512 and 128 features, 28 categories: forward, five losses with full labels, backward,
gradients clipped to 0.1, a step of Adam. In one process, one thread, one step of each in turn; medians of wall and CPU
time. The released design is re-expressed here from its description. PSA_V fills up with 10^12. PSA_S sums over the axis
that gives it a gradient, at the cost of the released one; attention adds the sound along the units of w, as the
equation has it and the released code has not. From the same weights, without dropout, the losses must be equal, else
the benchmark fails.
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.learners.event_objectives import BACKGROUND
from pipeline.learners.events import EventsLearner, EventsLearnerConfig
from pipeline.models.psp import PSPConfig, PSPModel
from pipeline.training.protocols import Batch
from tests.helpers.released_cpsp import released_spsa, released_vpsa

BATCH, CATEGORIES = 64, 28
LIMIT, EQUAL_LIMIT, TOLERANCE = 0.6, 1.0, 1e-4
Losses = Callable[[nn.Module, Batch], dict[str, Tensor]]


class Released(nn.Module):
    """The released network, layer by layer, with the weights of a `PSPModel`."""

    def __init__(self, model: PSPModel, dropout: float) -> None:
        super().__init__()
        weights = model.state_dict()
        self.layers = nn.ModuleDict()
        for name in (
            "embed_audio.0",
            "embed_audio.1",
            "embed_visual.0",
            "embed_visual.1",
            "head.event",
            "head.category",
        ):
            self._add(name, weights)
        for name in ("embed_query", "embed_row", "map_query", "map_row", "score"):
            self._add(f"attention.{name}", weights)
        for name in ("visual_1", "visual_2", "audio_1", "audio_2"):
            self._add(f"propagation.branches.{name}", weights)
        for name in ("visual", "audio"):
            self._add(f"propagation.outputs.{name}", weights)
        self.lstms = nn.ModuleDict({name: nn.LSTM(128, 128, 1, True, True, 0.0, True) for name in ("visual", "audio")})
        for name, lstm in self.lstms.items():
            lstm.load_state_dict(getattr(model, f"{name}_lstm").state_dict())
        self.norm = nn.LayerNorm(256, eps=1e-6)
        self.norm.load_state_dict(model.propagation.norm.state_dict())
        self.dropout = nn.Dropout(dropout)

    def _add(self, name: str, weights: dict[str, Tensor]) -> None:
        weight, bias = weights[f"{name}.weight"], weights.get(f"{name}.bias")
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        layer.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
        self.layers[name.replace(".", "-")] = layer

    def apply_layer(self, name: str, x: Tensor) -> Tensor:
        return self.layers[name.replace(".", "-")](x)

    def forward(self, visual: Tensor, audio: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        dense = self.apply_layer
        batch, segments = visual.shape[:2]
        sound = dense("embed_audio.1", dense("embed_audio.0", audio))
        cells = visual.reshape(batch * segments, -1, visual.shape[-1])
        hidden = F.relu(dense("attention.embed_row", cells))
        guide = F.relu(dense("attention.embed_query", sound.reshape(batch * segments, -1)))
        units = dense("attention.map_row", hidden) + dense("attention.map_query", guide).unsqueeze(1)
        alpha = F.softmax(dense("attention.score", torch.tanh(units)).squeeze(2), dim=-1)
        attended = torch.bmm(alpha.unsqueeze(1), cells).reshape(batch, segments, -1)
        picture = dense("embed_visual.1", dense("embed_visual.0", attended))
        heard, _ = self.lstms["audio"](sound)
        seen, _ = self.lstms["visual"](picture)

        def branch(name: str, x: Tensor) -> Tensor:
            return self.dropout(F.relu(dense(f"propagation.branches.{name}", x)))

        v1, v2, a1, a2 = (
            branch("visual_1", seen),
            branch("visual_2", seen),
            branch("audio_1", heard),
            branch("audio_2", heard),
        )
        beta = F.relu(torch.bmm(v2, a1.permute(0, 2, 1)) / 256**0.5)
        visual_out = seen + torch.bmm(_pruned(beta), a2)
        audio_out = heard + torch.bmm(_pruned(beta.permute(0, 2, 1)), v1)
        visual_out = self.norm(self.dropout(F.relu(dense("propagation.outputs.visual", visual_out))))
        audio_out = self.norm(self.dropout(F.relu(dense("propagation.outputs.audio", audio_out))))
        fused = torch.mul(visual_out + audio_out, 0.5)
        return (
            visual_out,
            audio_out,
            fused,
            dense("head.event", fused).squeeze(-1),
            dense("head.category", fused.mean(dim=1)),
        )


def _pruned(beta: Tensor) -> Tensor:
    beta = beta / (beta.sum(dim=-1, keepdim=True) + 1e-8)
    gamma = (beta > 0.099).to(beta) * beta
    return gamma / (gamma.sum(dim=-1, keepdim=True) + 1e-8)


def released_losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """The five losses with the published weights, as released but for the axis of PSA_S."""
    visual, audio, fused, event, category = model(batch["visual"], batch["audio"])
    is_event = batch["labels"] != BACKGROUND
    cosine = F.relu((F.normalize(visual, dim=-1) * F.normalize(audio, dim=-1)).sum(dim=-1))
    target = is_event.to(cosine)
    target = target / (target.sum(dim=-1, keepdim=True) + 1e-6)
    parts = {
        "event": F.binary_cross_entropy_with_logits(event, is_event.to(event)),
        "category": F.cross_entropy(category, batch["tag"]),
        "avpsp": F.mse_loss(cosine / (cosine.sum(dim=-1, keepdim=True) + 1e-8), target),
        "spsa": released_spsa(fused, is_event, axis=2),
        "vpsa": released_vpsa(fused, batch["tag"], 0.2, 3),
    }
    total = parts["event"] + parts["category"] + 100 * parts["avpsp"] + 0.01 * parts["spsa"] + parts["vpsa"]
    return parts | {"loss": total}


def make_batch() -> Batch:
    """Features between 0 and 4 like those of VGG19 and VGGish, and labels: every clip has an event."""
    generator = torch.Generator().manual_seed(0)
    visual = torch.randn(BATCH, 10, 49, 512, generator=generator).relu().half()
    audio = torch.randn(BATCH, 10, 128, generator=generator).relu().half()
    tag = torch.randint(CATEGORIES, (BATCH,), generator=generator)
    first = torch.randint(6, (BATCH, 1), generator=generator)
    second = torch.arange(10)
    is_event = (second >= first) & (second < first + 5)
    return {"visual": visual, "audio": audio, "labels": torch.where(is_event, tag.unsqueeze(1), BACKGROUND), "tag": tag}


def step(model: nn.Module, optimiser: torch.optim.Optimizer, losses: Losses, batch: Batch) -> tuple[float, float]:
    """Wall and CPU seconds of one training step."""
    began, began_cpu = time.perf_counter(), time.process_time()
    optimiser.zero_grad()
    losses(model, batch)["loss"].backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimiser.step()
    return time.perf_counter() - began, time.process_time() - began_cpu


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=7)
    num_steps = parser.parse_args().steps
    torch.set_num_threads(1)
    config = EventsLearnerConfig(categories=tuple(f"category {number:02d}" for number in range(CATEGORIES)))
    learner, batch = EventsLearner(config), make_batch()
    exact = batch | {name: batch[name].double() for name in ("visual", "audio")}

    undropped = EventsLearner(dataclasses.replace(config, model=PSPConfig(dropout=0.0)))
    torch.manual_seed(0)
    model = undropped.model()
    ours, theirs = undropped.loss(model, batch), released_losses(Released(model, 0.0).double(), exact)
    for name, value in theirs.items():
        difference = abs(ours[name].item() - value.item())
        print(f"{name}: {ours[name].item():.6f}, released design {value.item():.6f}")
        assert difference <= TOLERANCE * max(1.0, abs(value.item())), f"{name} differs by {difference:g}"

    model = learner.model()
    runs: list[tuple[str, nn.Module, Losses, Batch]] = [
        ("fp32", model, learner.loss, batch),
        ("released", Released(model, 0.1).double(), released_losses, exact),
        ("fp64", learner.model().double(), learner.loss, exact),
    ]
    prepared = [
        (name, net.train(), torch.optim.Adam(net.parameters(), 1e-3), losses, given)
        for name, net, losses, given in runs
    ]
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name, *_ in prepared}
    for number in range(num_steps + 1):
        for name, net, optimiser, losses, given in prepared:
            seconds = step(net, optimiser, losses, given)
            if number:  # the first fills caches
                taken[name].append(seconds)
    for kind, column in (("wall", 0), ("CPU", 1)):
        fp32, released, fp64 = ([seconds[column] for seconds in taken[name]] for name in ("fp32", "released", "fp64"))
        medians = ", ".join(f"{name} {statistics.median(s[column] for s in taken[name]):.2f} s" for name in taken)
        print(f"{kind}: {medians}")
        for name, seconds, limit in (("fp32", fp32, LIMIT), ("fp64", fp64, EQUAL_LIMIT)):
            ratio = statistics.median(a / b for a, b in zip(seconds, released, strict=True))
            print(f"{kind}: {name} / released {ratio:.2f} (at most {limit:g})")


if __name__ == "__main__":
    main()
