"""TDCN++ the straightforward way, as its source code reads: channels last, every layer where it is written."""

import torch
from torch import Tensor, nn

from pipeline.models.tdcn import TDCN, Block, ScaledDense


class PlainTDCN(nn.Module):
    """The network of a `TDCN`, with copies of its weights and none of its code."""

    def __init__(self, tdcn: TDCN) -> None:
        super().__init__()
        self.num_dilations = tdcn.config.num_dilations
        self.first = PlainDense(tdcn.first)
        self.blocks = nn.ModuleList(PlainBlock(block) for block in tdcn.blocks)
        self.skips = nn.ModuleDict({name: PlainDense(skip) for name, skip in tdcn.skips.items()})

    def forward(self, features: Tensor, video: Tensor | None = None) -> Tensor:
        """[B, bottleneck, L] from features [B, F, L] and video [B, K, D]."""
        core = self.first(features.transpose(1, 2))
        block_inputs = []
        for number, block in enumerate(self.blocks):
            for earlier in range(number):
                name = f"{earlier // self.num_dilations}-{number // self.num_dilations}"
                are_first = earlier % self.num_dilations == 0 and number % self.num_dilations == 0
                if are_first and name in self.skips:
                    core = core + self.skips[name](block_inputs[earlier])
            block_inputs.append(core)
            core = block(core, video)
        return core.transpose(1, 2)


class PlainBlock(nn.Module):
    """Dense, PReLU, norm, depthwise convolution, PReLU, norm, dense, and the first channels of the input."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.widen = PlainDense(block.widen)
        if block.widen_video is not None:  # one dense layer on [core, video]; the video's weights are not scaled
            weight = torch.cat([block.widen.conv.weight[..., 0], block.widen_video.weight / block.widen.scale], dim=1)
            self.widen.dense = dense(weight, None)
        self.slopes = nn.ParameterList(clone(act.weight) for act in (block.act1, block.act2))
        self.gammas = nn.ParameterList(clone(norm.gamma) for norm in (block.norm1, block.norm2))
        self.betas = nn.ParameterList(clone(norm.beta) for norm in (block.norm1, block.norm2))
        hidden, self.dilation = block.conv.weight.shape[0], block.conv.dilation[0]
        self.conv = nn.Conv1d(hidden, hidden, 3, dilation=self.dilation, padding="same", groups=hidden).to(
            block.conv.weight
        )
        self.conv.load_state_dict(block.conv.state_dict())
        self.narrow = PlainDense(block.narrow)

    def forward(self, core: Tensor, video: Tensor | None) -> Tensor:
        """[B, L, bottleneck] from core [B, L, bottleneck] and video [B, K, D]."""
        inputs = core
        if video is not None:
            length, num_frames = core.shape[1], video.shape[1]
            times = [int((step + 0.5) / length * num_frames) for step in range(length)]
            inputs = torch.cat([core, video[:, times]], dim=2)
        hidden = self.norm(self.act(self.widen(inputs), 0), 0)
        hidden = self.conv(hidden.transpose(1, 2)).transpose(1, 2)
        hidden = self.norm(self.act(hidden, 1), 1)
        return inputs[..., : core.shape[2]] + self.narrow(hidden)

    def act(self, x: Tensor, number: int) -> Tensor:
        return torch.relu(x) - self.slopes[number] * torch.relu(-x)

    def norm(self, x: Tensor, number: int) -> Tensor:
        mean = x.mean(dim=1, keepdim=True)
        variance = ((x - mean) ** 2).mean(dim=1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + 1e-3) * self.gammas[number] + self.betas[number]


class PlainDense(nn.Module):
    """A dense layer along the last axis, whose output is multiplied by one number."""

    def __init__(self, layer: ScaledDense) -> None:
        super().__init__()
        self.dense = dense(layer.conv.weight[..., 0], layer.conv.bias)
        self.scale = clone(layer.scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.dense(x)


def dense(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    layer.load_state_dict({"weight": weight.detach()} | ({} if bias is None else {"bias": bias.detach()}))
    return layer


def clone(parameter: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach().clone())
