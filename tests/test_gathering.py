"""Two processes with uneven shares of a batch learn what one process learns from the whole; gloo, no Ray."""

import datetime
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from cluster.gathering import gather_rows
from pipeline.losses.contrastive import info_nce

VIDEOS = torch.tensor([0, 1, 2, 3, 1])


class Towers(nn.Module):
    """Two linear towers and a temperature, which all three reach the loss in their own way."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.visual, self.audio = nn.Linear(6, 4), nn.Linear(6, 4)
        self.temperature = nn.Parameter(torch.tensor(0.3))

    def loss(self, visual: Tensor, audio: Tensor, videos: Tensor) -> Tensor:
        return info_nce(visual @ audio.T / self.temperature, videos).mean()


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, 6, generator=generator), torch.randn(5, 6, generator=generator)


def one_process() -> tuple[Tensor, dict[str, Tensor]]:
    towers, (frames, sounds) = Towers(), inputs()
    loss = towers.loss(towers.visual(frames), towers.audio(sounds), VIDEOS)
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in towers.named_parameters() if p.grad is not None}


def work(rank: int, folder: str) -> None:
    """Three rows on rank 0 and two on rank 1; the mean of the two processes' gradients goes to a file."""
    patience = datetime.timedelta(seconds=100)  # where the other process fails to come
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2, timeout=patience)
    rows, towers, (frames, sounds) = slice(rank, None, 2), Towers(), inputs()
    visual, audio = gather_rows(towers.visual(frames[rows])), gather_rows(towers.audio(sounds[rows]))
    loss = towers.loss(visual, audio, gather_rows(VIDEOS[rows]))
    share = len(visual[rows]) * 2 / len(visual)  # what the training loop multiplies with: its mean over processes is 1
    (share * loss).backward()
    gradients = {}
    for name, parameter in towers.named_parameters():
        assert parameter.grad is not None
        dist.all_reduce(parameter.grad)
        gradients[name] = parameter.grad / 2
    torch.save({"loss": loss.detach(), "gradients": gradients, "videos": gather_rows(VIDEOS[rows])}, f"{folder}/{rank}")
    dist.destroy_process_group()


def work_second(_: int, folder: str) -> None:
    work(1, folder)


def test_the_mean_gradient_of_two_processes_is_that_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    other = mp.spawn(work_second, (str(tmp_path),), join=False)  # the first is this process: one start less
    work(0, str(tmp_path))
    other.join()
    loss, gradients = one_process()
    for rank in (0, 1):
        found = torch.load(tmp_path / str(rank), weights_only=True)
        assert found["videos"].tolist() == [0, 2, 1, 1, 3]  # rows 0, 2, 4 of rank 0, then 1 and 3
        torch.testing.assert_close(found["loss"], loss)
        torch.testing.assert_close(found["gradients"], gradients)
