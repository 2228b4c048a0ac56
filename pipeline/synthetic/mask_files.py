"""What sounds in a rendered video, as a folder of masks that `earshot label` reads.

<folder>/masks/world_00012/500.png        all that is seen to sound in the frame at 0.5 s, or the first one after
                           500.drum.png   what of it is a drum; there is none of a kind of which nothing sounds
"""

from pathlib import Path

from pipeline.masks.mask_pictures import encode_mask
from pipeline.storage.localfiles import commit_together
from pipeline.synthetic.truth import Truth, drawn_frames, masks_by_kind


def write_masks(folder: Path, truth: Truth) -> None:
    """Write the masks of a video, one of each second, and one of each kind that sounds in it.

    A mask is named after its frame's time, in milliseconds.
    """
    contents: dict[str, bytes] = {}
    times_s = drawn_frames(truth.scene) / truth.scene.frame_rate_hz
    for kind, masks in masks_by_kind(truth).items():
        suffix = "png" if kind is None else f"{kind}.png"
        for time_s, mask in zip(times_s, masks, strict=True):
            if kind is None or mask.any():
                contents[f"{round(time_s * 1000)}.{suffix}"] = encode_mask(mask)
    commit_together(folder / "masks" / truth.scene.name, contents)
