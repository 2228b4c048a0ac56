"""Where in an example's frames something is seen to sound: known for videos of the synthetic world, from their truth.

The truth lies beside the videos (`synthetic/truth.py`). Where it does not, because the video is no world's or lies on
another machine, nothing is known.
"""

from pathlib import Path

import numpy as np

from pipeline.clips.samples import Clip
from pipeline.synthetic.truth import load_truth


def sounding_masks(example: Clip) -> np.ndarray | None:
    """[K, H, W] pixels of all in view that sounds, for each of the example's frames; None where nothing is known.

    H and W are the video's, stretched over the frame. A frame has the mask of the second that it begins, judged half a
    second later: things stay in their place, and the camera trembles by a few pixels.

    Raises:
        DataError: the truth is damaged.
    """
    uri = example.facts["sources"][0]["uri"]
    folder, name = Path(uri).parent.parent, Path(uri).stem
    if "://" in uri or not (folder / "truth" / name / "scene.json").is_file():
        return None
    masks = np.asarray(load_truth(folder, name).masks.any(axis=0))
    # a last second of half a second or less has no mask of its own
    seconds = np.clip(np.array(example.facts["frame_times_s"]).astype(int), 0, len(masks) - 1)
    return masks[seconds]
