"""The network that names words: a frozen encoder keeps all of its state, and the head learns on what it gives."""

import torch
import torch.nn.functional as F

from pipeline.models.lips import LipReadingConfig
from pipeline.models.word_reader import WordReader

CONFIG = LipReadingConfig(frame_size=16, width=0.1, depth=1, step_dim=8, branch_dim=8, clip_dim=8)


def step(is_frozen: bool) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What the network's state is before and after a step of training."""
    torch.manual_seed(0)
    model = WordReader(CONFIG, num_words=3, is_frozen=is_frozen).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    frames = torch.rand(4, 9, 3, 16, 16)
    logits = model(frames)
    assert logits.shape == (4, 3)
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=1.0).step()
    return before, model.state_dict()


def test_a_frozen_encoder_keeps_its_weights_and_its_batch_norms_while_the_head_learns() -> None:
    before, after = step(is_frozen=True)
    is_same = {name: torch.equal(before[name], after[name]) for name in before}
    assert all(same for name, same in is_same.items() if name.startswith("lip_encoder."))
    assert not is_same["dense.weight"]
    assert not is_same["tcn.entry.weight"]


def test_a_tuned_encoder_learns_too() -> None:
    before, after = step(is_frozen=False)
    changed = [
        name for name in before if name.startswith("lip_encoder.") and not torch.equal(before[name], after[name])
    ]
    assert any(name.endswith("running_mean") for name in changed)
    assert any(name.endswith("weight") for name in changed)
