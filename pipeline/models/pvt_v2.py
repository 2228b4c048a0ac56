"""PVT v2, b0 to b5: a transformer on four grids (Wang et al. 2022, arXiv:2106.13797), without its classifier.

A stage embeds overlapping patches, then alternates attention, whose keys and values come from a coarser grid, and a
dense layer with a depthwise convolution inside. The layers have the names of the public checkpoints; `PUBLIC_NAMES`
maps those of the stages.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPSILON = 1e-6
DROP_PATH = 0.1  # of the last block, from 0 at the first: as AVS trains it
HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)  # pixels of the grid a side for one key
PUBLIC_NAMES = {
    f"{name}{stage + 1}.": f"stages.{stage}.{name}." for stage in range(4) for name in ("patch_embed", "block", "norm")
}
"""Beginning of a name in a public checkpoint -> in a `Pyramid`; the classifier `head.` has no place."""


class Variant(NamedTuple):
    """What differs between b0 and b5, of each stage."""

    dims: tuple[int, ...]
    expansions: tuple[int, ...]
    depths: tuple[int, ...]


WIDE = (64, 128, 320, 512)
VARIANTS = {
    "pvt_v2_b0": Variant((32, 64, 160, 256), (8, 8, 4, 4), (2, 2, 2, 2)),
    "pvt_v2_b1": Variant(WIDE, (8, 8, 4, 4), (2, 2, 2, 2)),
    "pvt_v2_b2": Variant(WIDE, (8, 8, 4, 4), (3, 4, 6, 3)),
    "pvt_v2_b3": Variant(WIDE, (8, 8, 4, 4), (3, 4, 18, 3)),
    "pvt_v2_b4": Variant(WIDE, (8, 8, 4, 4), (3, 8, 27, 3)),
    "pvt_v2_b5": Variant(WIDE, (4, 4, 4, 4), (3, 6, 40, 3)),
}


class PatchEmbed(nn.Module):
    """A convolution whose windows overlap, and a layer norm."""

    def __init__(self, in_channels: int, dim: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = _conv(in_channels, dim, kernel, stride)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Rows [N, h, w, dim] of x [N, C, H, W]."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class Attention(nn.Module):
    """Each place attends to a grid that is `reduction` times coarser."""

    def __init__(self, dim: int, num_heads: int, reduction: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.kv, self.proj = _dense(dim, dim), _dense(dim, 2 * dim), _dense(dim, dim)
        self.sr = _conv(dim, dim, reduction, reduction, padding=0) if reduction > 1 else None
        self.norm = nn.LayerNorm(dim) if reduction > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, h, w, C] of x [N, h, w, C]; h and w are multiples of the reduction."""
        coarse = x
        if self.sr is not None and self.norm is not None:
            coarse = self.norm(self.sr(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        query = self.q(x).flatten(1, 2).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        key, value = self.kv(coarse).flatten(1, 2).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        taken = F.scaled_dot_product_attention(query, key, value)
        return self.proj(taken.transpose(1, 2).flatten(2)).view(x.shape)


class ConvMlp(nn.Module):
    """Dense, depthwise 3 x 3, GELU, dense."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = _dense(dim, hidden_dim), _dense(hidden_dim, dim)
        self.dwconv = nn.ModuleDict({"dwconv": _conv(hidden_dim, hidden_dim, 3, groups=hidden_dim)})

    def forward(self, x: Tensor) -> Tensor:
        """[N, h, w, C] of x [N, h, w, C]."""
        hidden = self.dwconv["dwconv"](self.fc1(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.fc2(F.gelu(hidden))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); training leaves out either for some pictures."""

    def __init__(self, dim: int, num_heads: int, expansion: int, reduction: int, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.attn = Attention(dim, num_heads, reduction)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.mlp = ConvMlp(dim, expansion * dim)

    def forward(self, x: Tensor) -> Tensor:
        """[N, h, w, C] of x [N, h, w, C]."""
        x = x + self._kept(self.attn(self.norm1(x)))
        return x + self._kept(self.mlp(self.norm2(x)))

    def _kept(self, x: Tensor) -> Tensor:
        """x, of which training sets a share of pictures to 0 and raises the others to keep the mean."""
        if not self.training or self.drop_path == 0:
            return x
        keep = 1 - self.drop_path
        return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(keep) / keep


class Stage(nn.Module):
    """Patches, blocks and a norm: maps of one grid from those of the finer one."""

    def __init__(self, patch_embed: PatchEmbed, blocks: list[Block], dim: int) -> None:
        super().__init__()
        self.patch_embed = patch_embed
        self.block = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """[N, dim, h, w] of x [N, C, H, W]."""
        return self.norm(self.block(self.patch_embed(x))).permute(0, 3, 1, 2)


def pvt_v2(name: str) -> tuple[list[nn.Module], tuple[int, ...]]:
    """The four stages of a `Pyramid`, and the channels of their maps; `name` is one of VARIANTS."""
    dims, expansions, depths = VARIANTS[name]
    rates = iter(torch.linspace(0, DROP_PATH, sum(depths)).tolist())
    stages: list[nn.Module] = []
    for number, dim in enumerate(dims):
        embed = PatchEmbed(dims[number - 1], dim, 3, 2) if number else PatchEmbed(3, dim, 7, 4)
        sizes = (dim, HEADS[number], expansions[number], REDUCTIONS[number])
        stages.append(Stage(embed, [Block(*sizes, drop_path=next(rates)) for _ in range(depths[number])], dim))
    return stages, dims


def _dense(in_dim: int, out_dim: int) -> nn.Linear:
    layer = nn.Linear(in_dim, out_dim)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


def _conv(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1, padding: int | None = None
) -> nn.Conv2d:
    padding = kernel // 2 if padding is None else padding
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=padding, groups=groups)
    nn.init.normal_(layer.weight, std=math.sqrt(2 * groups / (kernel**2 * out_channels)))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
