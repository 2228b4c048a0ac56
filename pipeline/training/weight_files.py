"""A user's file of public weights -> tensors by name, without running anything in it.

Design note: public checkpoints of before 2020 (torchvision's first ResNet-50, VGGish) are in torch's older form, a row
of pickles. Both forms go through `torch.load` with `weights_only`, whose reader builds tensors and plain values and
refuses every other class; what begins otherwise is not given to it at all.
"""

from typing import Any

from torch import Tensor

from pipeline.hashing import hash_bytes
from pipeline.storage import files
from pipeline.training.checkpointing import MAGIC, read_values

OLD_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")  # pickle protocol 2 of the number that torch began files with
REMEDY = "Give a file of weights by name, as torch.save(model.state_dict()) writes it."


def read_weights(uri: str) -> tuple[dict[str, Tensor], str]:
    """The tensors of a checkpoint by name, on the CPU, and the hash of the file. A model.pt of ours is one, too.

    Raises:
        DataError: the file is missing, or holds anything else than tensors by name.
    """
    with files.local_copy(uri) as path:
        return read_values(path, uri, _tensors, REMEDY, (MAGIC, OLD_MAGIC)), hash_bytes(path.read_bytes())


def _tensors(loaded: Any) -> dict[str, Tensor]:
    if isinstance(loaded, dict) and loaded.keys() == {"model"}:  # a model.pt of ours
        loaded = loaded["model"]
    if not isinstance(loaded, dict):
        raise TypeError(f"a {type(loaded).__name__}, not tensors by name")
    wrong = next((name for name, value in loaded.items() if not isinstance(value, Tensor)), None)
    if wrong is not None or not loaded:
        raise TypeError(f"{wrong} is a {type(loaded[wrong]).__name__}, not a tensor" if loaded else "no tensor in it")
    return {str(name): value for name, value in loaded.items()}
