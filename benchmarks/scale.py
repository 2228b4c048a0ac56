"""Time and cost of the whole pipeline on YFCC100M's videos with sound, and what grows how: the tables of docs/scale.md.

Usage: python -m benchmarks.scale

Nothing is run: unit costs measured on 2 cores (docs/benchmarks.md, docs/scale.md) are multiplied out. A stage in parts
takes whole rounds, the last as long as the others. tests/test_scale.py holds docs/scale.md to what this prints.
"""

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

# The corpus of AudioScope (Tzinis et al. 2021, section 4.1): 2 500 h.
VIDEOS, CLIPS, SECONDS, VIDEOS_PER_PART = 200_000, 7_200_000, 9_000_000, 80
# Measured, in CPU seconds of one core: 14 real videos of 288p to 720p, 132 s; `base`, one thread.
CUT_S, SCORE_S, CLIP_BYTES = 0.065, 0.077, 158_000  # per second of video; per clip; of tars per clip
LOAD_S = {"coincidence": 0.0062, "separation": 0.009}  # per training example, uncached
# Multiply-adds times two of a forward pass, counted by torch's FlopCounterMode; a step takes three forward passes.
FORWARD_FLOP = {"coincidence": 2.61e9, "separation": 75.1e9}
EXAMPLES = {"coincidence": 100_000 * 256, "separation": 2 * 500_000 * 256}  # preset base; both phases of separation
READS, GETS_PER_S = (
    {"coincidence": 1, "separation": 2},
    5500,
)  # of clips per example; what S3 grants one prefix at least
GPU_SHARE = 0.25  # ASSUMED, of the peak in fp32: no GPU was there to measure
# One process on the head: seconds and the exponent by which they grow, GiB and the exponent by which they grow at most.
HEAD = {
    "list, plan": (19.0, 1.0, 0.31, 1.0),
    "count rows": (2.7 * 7.2, 1.0, 0.53, 0.0),
    "duplicates": (2 * 56.7 * 0.72**1.43, 1.43, 0.6, 1.0),  # of sound and of picture, a vector for ten clips
    "select": (38.7, 1.0, 0.82, 1.0),
}
PRICES = tomllib.loads((Path(__file__).parent.parent / "cluster" / "prices.toml").read_text())


@dataclass(frozen=True)
class Cluster:
    """Nodes of ray_cluster.yaml: cutters of 32 CPUs, and GPUs with the CPUs beside each."""

    name: str
    cutters: int
    gpus: int
    gpu: str
    flops: float
    """Of one GPU, peak in fp32."""
    cpus_per_gpu: int
    gpu_hour: float
    """EXAMPLE price of one GPU with its share of the node, as those of cluster/prices.toml."""

    def in_parts(self, part_s: float, per_node: int) -> float:
        """Seconds of a stage in parts."""
        return math.ceil(VIDEOS / VIDEOS_PER_PART / (self.cutters * per_node)) * part_s

    def training(self, learner: str) -> float:
        """Seconds of a training: of its arithmetic, its loading or its requests the slowest."""
        step_s = 3 * FORWARD_FLOP[learner] / (GPU_SHARE * self.flops) / self.gpus
        load_s = LOAD_S[learner] / (self.gpus * self.cpus_per_gpu)
        return EXAMPLES[learner] * max(step_s, load_s, READS[learner] / GETS_PER_S)


CLUSTERS = (
    Cluster("four nodes", 3, 4, "L4", 30.3e12, 12, 1.2),
    Cluster("`ray_cluster.yaml` in full", 16, 8, "L4", 30.3e12, 12, 1.2),
    Cluster("with two nodes of eight H100", 16, 16, "H100", 67e12, 24, 5.0),
)


def main() -> None:
    part_videos_s = SECONDS / VIDEOS * VIDEOS_PER_PART
    print("| cluster | cut | coincidence | score | head | separation | all | cores | GPUs | clips for a month |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for cluster in CLUSTERS:
        cut = cluster.in_parts(part_videos_s * CUT_S, 32)
        score = cluster.in_parts(CLIPS / VIDEOS * VIDEOS_PER_PART * SCORE_S, 28)
        head = sum(seconds for seconds, *_ in HEAD.values())
        trained = {learner: cluster.training(learner) for learner in EXAMPLES}
        core_hours = cluster.cutters * 32 * (cut + score) / 3600
        gpu_hours = cluster.gpus * sum(trained.values()) / 3600
        row = [
            f"{cluster.name}: {cluster.cutters * 32} CPUs, {cluster.gpus} {cluster.gpu}",
            *(hours(seconds) for seconds in (cut, trained["coincidence"], score, head, trained["separation"])),
            hours(cut + score + head + sum(trained.values())),
            f"{core_hours:.0f} h, {core_hours * PRICES['per_core_hour']:.0f} {PRICES['currency']}",
            f"{gpu_hours:.0f} h, {gpu_hours * cluster.gpu_hour:.0f} {PRICES['currency']}",
            f"{CLIPS * CLIP_BYTES / 1e12:.1f} TB, {CLIPS * CLIP_BYTES / 1e9 * PRICES['per_gb_month']:.0f} "
            f"{PRICES['currency']}",
        ]
        print(f"| {' | '.join(row)} |")
    print("\n| on the head, one process | 1x | 10x | 100x |\n|---|---|---|---|")
    for name, (seconds, growth, gib, gib_growth) in HEAD.items():
        cells = [f"{hours(seconds * n**growth)}, {gib * n**gib_growth:.2g} GiB" for n in (1, 10, 100)]
        print(f"| {name} | {' | '.join(cells)} |")


def hours(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else days(seconds)


def days(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


if __name__ == "__main__":
    main()
