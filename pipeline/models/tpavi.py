"""TPAVI: every place of every frame takes in what the sound of all seconds agrees with, in time linear in the places.

In: a map of each of T frames and the sound of each. Out: the map after the exchange, and the sound at its width. Zhou
et al. 2022 (AVS, ECCV, arXiv:2207.05042), eq. (1): Z = V + mu(alpha g(V)) with alpha = theta(V) phi(A)^T / N over the
N = T H W places, here with the layer norm of the released code.

Design note: alpha has no softmax, so alpha g = theta (phi^T g) / N, and the sound is constant over a frame, so phi^T g
is a sum of T outer products. The N x N map (0.98 GB for five 56 x 56 maps) is never built; theta, phi^T g and mu are
one matrix of C x C per clip, by which the map is multiplied once.
"""

import torch
from torch import Tensor, nn


class TPAVI(nn.Module):
    """LN(V + BN(mu(theta(V) phi(A)^T g(V) / N))); its batch norm starts at weight 0, so that it begins as LN(V)."""

    def __init__(self, channels: int, inter_channels: int, audio_dim: int) -> None:
        """A fresh block.

        Args:
            channels: C of the map.
            inter_channels: width in which map and sound are compared; published: C / 2.
            audio_dim: A of the sound.
        """
        super().__init__()
        self.align_channel = nn.Linear(audio_dim, channels)
        self.theta = nn.Linear(channels, inter_channels)
        self.phi = nn.Linear(channels, inter_channels)
        self.g = nn.Linear(channels, inter_channels)
        self.mu = nn.Linear(inter_channels, channels)
        self.batch_norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.batch_norm.weight)
        self.layer_norm = nn.LayerNorm(channels)

    def forward(self, visual: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """The map after the exchange, and the sound at the map's width.

        Args:
            visual: [B, T, C, H, W], any T, H and W.
            audio: [B, T, A], the sound of each frame.
        Returns:
            [B, T, C, H, W], a pixel's channels side by side in memory, and [B, T, C].
        """
        sound = self.align_channel(audio)
        places = visual.permute(0, 1, 3, 4, 2)  # [B, T, H, W, C]: a view where channels are side by side in memory
        # a sum, whose gradient is a view where that of a mean is another map; not in fp16, which ends at 65 504
        total = visual.sum(dim=(3, 4), dtype=self.mu.weight.dtype)
        weight, bias = self._exchange(total / visual[0, 0, 0].numel(), sound)
        taken = torch.baddbmm(bias.to(places.dtype), places.flatten(1, 3), weight.to(places.dtype))
        taken = self.batch_norm(taken.view(places.shape).flatten(0, 1).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        mixed = self.layer_norm(taken.view(places.shape) + places)
        return mixed.permute(0, 1, 4, 2, 3), sound

    def attention_map(self, visual: Tensor, audio: Tensor) -> Tensor:
        """alpha of one clip, [T, H, W, T, H, W]: how much each place takes from each, for pictures of it.

        It is a view of T H W x T numbers, since a row is constant over a frame; a copy of it has N^2.

        Args:
            visual: [T, C, H, W].
            audio: [T, A].
        """
        num_frames, _, height, width = visual.shape
        phi = self.phi(self.align_channel(audio))
        alpha = self.theta(visual.permute(0, 2, 3, 1)) @ phi.T / (num_frames * height * width)
        return alpha[..., None, None].expand(-1, -1, -1, -1, height, width)

    def _exchange(self, visual_means: Tensor, sound: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, C] and [B, 1, C]: mu(theta(v) phi^T g / N) is v times the first plus the second; fp32.

        The sum of g over a frame's places is g of their mean times their number, so phi^T g / N is a mean over T.

        Args:
            visual_means: [B, T, C], the mean of each frame's map.
            sound: [B, T, C].
        """
        with torch.autocast(sound.device.type, enabled=False):
            exact = self.mu.weight.dtype
            phi, g = self.phi(sound.to(exact)), self.g(visual_means.to(exact))
            inner = phi.mT @ g @ self.mu.weight.T / sound.shape[1]  # [B, I, C]
            return self.theta.weight.T @ inner, self.theta.bias.unsqueeze(0) @ inner + self.mu.bias
