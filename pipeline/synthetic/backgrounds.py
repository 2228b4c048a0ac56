"""What is behind things: a texture larger than the frame, and a camera that drifts and trembles over it.

Comes in: a scene's background name and seed. Goes out: one large static picture, and per frame the camera's position in
whole pixels, so that a frame's background is a slice. Neither says anything about what sounds.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.scenes import Scene
from pipeline.synthetic.shapes import Floats

MARGIN = 24  # pixels around the frame: as far as the background may drift
TREMBLE = 2  # pixels: as far as the camera may


def background(scene: Scene, rng: np.random.Generator) -> Floats:
    """[3, H + 2 MARGIN, W + 2 MARGIN] in 0 to 1: random colours and scales of the scene's kind of background."""
    height, width = scene.height + 2 * MARGIN, scene.width + 2 * MARGIN
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(scene.height)
    angle = rng.uniform(0, 2 * np.pi)
    along = (x - 0.7) * np.float32(np.cos(angle)) + (y - 0.5) * np.float32(np.sin(angle))
    across = (y - 0.5) * np.float32(np.cos(angle)) - (x - 0.7) * np.float32(np.sin(angle))
    period = rng.uniform(0.15, 0.5)
    if scene.background == "gradient":
        mix = np.clip(along + 0.5, 0, 1)
    elif scene.background == "stripes":
        mix = 0.5 + 0.5 * np.clip(4 * np.sin(2 * np.pi * along / period), -1, 1)
    elif scene.background == "checker":
        mix = 0.5 + 0.5 * np.clip(12 * np.sin(2 * np.pi * along / period) * np.sin(2 * np.pi * across / period), -1, 1)
    elif scene.background == "clouds":
        mix = _clouds(height, width, rng)
    else:
        mix = np.zeros_like(x)
        for _ in range(8):
            centre = rng.uniform(0, [x.max(), y.max()])
            far = np.hypot(x - np.float32(centre[0]), y - np.float32(centre[1])) / rng.uniform(0.1, 0.35)
            mix = np.maximum(mix, np.clip(6 * (1 - far), 0, 1) * rng.uniform(0.4, 1.0))
    first, second = rng.uniform(0.1, 0.9, (2, 3))
    second = first + (second - first) * rng.uniform(0.25, 0.7)  # weaker contrast than things have
    return (first[:, None, None] + (second - first)[:, None, None] * mix).astype(np.float32)


def _clouds(height: int, width: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Noise whose amplitude falls with frequency, in 0 to 1."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) / (0.01 + np.hypot(fy, fx)) ** 1.3
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, (height, width))
    return np.clip(0.5 + 0.25 * noise / noise.std(), 0, 1)


def camera(scene: Scene, rng: np.random.Generator) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Where things and the background are shifted to, [num_frames, 2] (x, y) in pixels each.

    The first is the camera's trembling, within TREMBLE; the second adds the background's slow drift, within MARGIN.
    """
    t = np.arange(scene.num_frames) / scene.frame_rate_hz
    tremble = np.zeros((scene.num_frames, 2))
    drift = np.zeros((scene.num_frames, 2))
    for axis in range(2):
        rates_hz, phases = rng.uniform(0.2, 1.2, 3), rng.uniform(0, 2 * np.pi, 3)
        tremble[:, axis] = np.sin(2 * np.pi * rates_hz[:, None] * t + phases[:, None]).mean(axis=0)
        drift[:, axis] = np.sin(2 * np.pi * rng.uniform(0.01, 0.06) * t + rng.uniform(0, 2 * np.pi))
    steadiness = rng.uniform(0, 1) * TREMBLE
    shift = np.rint(steadiness * tremble).astype(int)
    return shift, shift + np.rint(rng.uniform(0, MARGIN - TREMBLE) * drift).astype(int)
