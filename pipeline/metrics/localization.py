"""Whether attention over a picture lies on the thing that sounds: pointing game and attention mass.

Conventions
-----------
Attention is [K, rows, columns], 0 or more, over K frames; masks are [K, H, W] bool, what is seen to sound, for the same
frames stretched over the same picture. A cell's attention is spread evenly over its pixels, so a cell that the mask
covers by half counts by half, and even attention has the mask's share of the area. Frames without a mask are left out;
without any frame the value is NaN.

References
----------
Zhang et al. 2018, "Top-down neural attention by excitation backprop", arXiv:1608.00507 (pointing game; theirs
forgives 15 pixels, ours none: a cell is wider).
"""

import numpy as np


def attention_mass(attention: np.ndarray, masks: np.ndarray) -> float:
    """Share of the attention, in [0, 1], that lies inside the masks.

    Args:
        attention: [K, rows, columns] 0 or more.
        masks: [K, H, W] bool.
    Raises:
        ValueError: another number of axes or frames, or negative attention.

    >>> attention_mass(np.array([[[3.0, 1.0]]]), np.array([[[True, False, False, False]]]))  # half of the first cell
    0.375
    """
    attention, masks = _validate(attention, masks)
    total = attention.sum()
    inside = (attention * cell_coverage(masks, *attention.shape[1:])).sum()
    return float(inside / total) if total > 0 else float("nan")


def pointing_hit_rate(attention: np.ndarray, masks: np.ndarray) -> float:
    """Share of the frames, in [0, 1], whose cell of most attention has its centre inside the mask.

    Cells of equal attention share the hit: even attention has about the mask's share of the area. Raises as
    `attention_mass`.
    """
    attention, masks = _validate(attention, masks)
    if not len(attention):
        return float("nan")
    (rows, columns), (height, width) = attention.shape[1:], masks.shape[1:]
    down = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    across = ((np.arange(columns) + 0.5) * width / columns).astype(int)
    centres = masks[:, down][:, :, across]
    is_most = attention == attention.max(axis=(1, 2), keepdims=True)
    return float(((is_most & centres).sum(axis=(1, 2)) / is_most.sum(axis=(1, 2))).mean())


def mask_share(masks: np.ndarray) -> float:
    """Share of the area, in [0, 1], of the masks [K, H, W]: what even attention reaches."""
    shown = masks[masks.any(axis=(1, 2))]
    return float(shown.mean()) if len(shown) else float("nan")


def cell_coverage(masks: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """[K, rows, columns] share of each cell's area that the masks [K, H, W] cover."""
    return _overlap(rows, masks.shape[1]) @ masks.astype(np.float64) @ _overlap(columns, masks.shape[2]).T


def _overlap(cells: int, pixels: int) -> np.ndarray:
    """[cells, pixels] share of each cell that each pixel makes up, both evenly over the same length."""
    cell, pixel = np.arange(cells)[:, None] * pixels, np.arange(pixels) * cells  # in whole numbers: nothing is rounded
    common = np.minimum(cell + pixels, pixel + cells) - np.maximum(cell, pixel)
    return np.maximum(common, 0) / pixels


def _validate(attention: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both, of the frames with a mask."""
    if attention.ndim != 3 or masks.ndim != 3 or len(attention) != len(masks):
        raise ValueError(
            f"attention {list(attention.shape)}, masks {list(masks.shape)}: expected [K, rows, columns] and [K, H, W]."
        )
    if (attention < 0).any():
        raise ValueError(f"attention: the smallest is {attention.min()}, expected 0 or more.")
    shown = masks.any(axis=(1, 2))
    return attention[shown], masks[shown]
