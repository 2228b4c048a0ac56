"""What one worker of each stage needs, with the reason. A cluster may scale these; the results do not change."""

import dataclasses

GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WorkerResources:
    """What one worker asks of Ray, and how its parts are run."""

    num_cpus: float
    num_gpus: float = 0
    memory_bytes: int = GIB
    stateful: bool = False
    """True: a pool of long-lived workers, because each loads a model once. False: one task per part."""
    prefers_gpu: bool = False
    """True: a GPU for each worker where the cluster has any, and none where it has not."""
    limit_s: float = 4 * 3600
    """Wall-clock limit of one part: a worker that is stuck longer is killed, and the part tried again."""


# One ffmpeg child with one thread, and Python beside it that encodes JPEG and FLAC while ffmpeg decodes.
SHARDING = WorkerResources(num_cpus=1, memory_bytes=GIB)
# Rendering draws while ffmpeg encodes.
WORLD = WorkerResources(num_cpus=1, memory_bytes=GIB, limit_s=600)
# The model is loaded once per worker. torch uses as many threads as the worker has CPUs, because Ray sets
# OMP_NUM_THREADS to them for tasks and actors, where the node's environment has none (seen in 2.60).
SCORING = WorkerResources(num_cpus=1, memory_bytes=2 * GIB, stateful=True, prefers_gpu=True)
EVALUATING = WorkerResources(num_cpus=1, memory_bytes=4 * GIB, stateful=True, prefers_gpu=True)
# Pure table work: small and short.
LABELING = WorkerResources(num_cpus=1, memory_bytes=GIB, limit_s=3600)
FILTERING = WorkerResources(num_cpus=1, memory_bytes=GIB, limit_s=3600)
MIXING = WorkerResources(num_cpus=1, memory_bytes=GIB, stateful=True, limit_s=3600)
# What `run` asks for, by command; `features` loads the same model as `score`.
STAGES = {
    "shard": SHARDING,
    "score": SCORING,
    "features": SCORING,
    "label": LABELING,
    "filter": FILTERING,
    "mix": MIXING,
    "evaluate": EVALUATING,
}
