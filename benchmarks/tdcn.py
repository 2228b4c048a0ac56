"""A training step of TDCN++ at the published size over a straightforward implementation, and the activations it keeps.

Usage: python -m benchmarks.tdcn

One clip of 5 s (3 999 frames of 256 coefficients), forward and backward; outputs must be equal, else the benchmark
fails. The straightforward network has dense layers on transposed tensors, video concatenated in every block, and scales
multiplied into activations (tests/helpers/plain_tdcn.py). Activations are the bytes of different tensors that autograd
keeps for the whole separator (basis, TDCN++, masks, consistency); with checkpointing also those of the one block that
the backward pass has computed again.
"""

import dataclasses
import time
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.models.separator import SeparationConfig, SeparationModel
from pipeline.models.tdcn import TDCN, TDCNConfig
from tests.helpers.plain_tdcn import PlainTDCN

NUM_FRAMES, NUM_BINS, VIDEO_DIM, NUM_PICTURES = 3999, 256, 128, 5
NUM_SAMPLES = 80_000
SPEED_LIMIT, MEMORY_LIMIT_GB = 1.5, 0.5


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    features, video = torch.randn(1, NUM_BINS, NUM_FRAMES), torch.randn(1, NUM_PICTURES, VIDEO_DIM)
    for name, embeddings in (("with video", video), ("without video", None)):
        tdcn = TDCN(TDCNConfig(), in_dim=NUM_BINS, video_dim=None if embeddings is None else VIDEO_DIM)
        plain = PlainTDCN(tdcn)
        with torch.no_grad():
            torch.testing.assert_close(tdcn(features, embeddings), plain(features, embeddings), rtol=1e-3, atol=1e-3)
        ours_s, plain_s = (step_s(network, features, embeddings) for network in (tdcn, plain))
        checkpointed = TDCN(dataclasses.replace(tdcn.config, checkpoint_blocks=True), in_dim=NUM_BINS, video_dim=None)
        print(f"{name}: {ours_s:.2f} s per step, straightforward {plain_s:.2f} s")
        print(f"straightforward / ours {plain_s / ours_s:.2f} (at least {SPEED_LIMIT:g}), equal outputs")
    again_s = step_s(checkpointed, features, None)
    print(f"with checkpointing {again_s:.2f} s per step, {again_s / ours_s:.2f} of that without")
    for num_sources in (4, 8):
        for checkpoint_blocks in (False, True):
            kept = activations_gb(num_sources, checkpoint_blocks)
            limit = f" (at most {MEMORY_LIMIT_GB:g})" if checkpoint_blocks else ""
            how = "with" if checkpoint_blocks else "without"
            print(f"{num_sources} sources, {how} checkpointing: {kept:.2f} GB of activations{limit}")


def step_s(network: Callable[[Tensor, Tensor | None], Tensor], features: Tensor, video: Tensor | None) -> float:
    """CPU seconds of forward and backward, the fastest of three."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        network(features, video).square().mean().backward()
        taken.append(time.process_time() - began)
    return min(taken)  # what else the machine does only ever adds


def activations_gb(num_sources: int, checkpoint_blocks: bool) -> float:
    """What a training step of the separator keeps of a clip of 5 s at once."""
    tdcn = TDCNConfig(checkpoint_blocks=checkpoint_blocks)
    model = SeparationModel(SeparationConfig(num_sources=num_sources, tdcn=tdcn))
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def kept_bytes(work: Callable[[], object]) -> int:
        sizes: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in parameters:
                sizes[storage.data_ptr()] = storage.nbytes()
                kept.append(tensor)  # so that no other tensor gets its address
            return tensor

        kept: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            result = work()
        del result
        return sum(sizes.values())

    total = kept_bytes(lambda: model.separate(0.1 * torch.randn(1, NUM_SAMPLES)))
    if checkpoint_blocks:
        core = torch.randn(1, tdcn.bottleneck, NUM_FRAMES, requires_grad=True)
        total += kept_bytes(lambda: model.tdcn.blocks[0](core, None))
    return total / 1e9


if __name__ == "__main__":
    main()
