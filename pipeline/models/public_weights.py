"""Tensors of a public checkpoint -> the layers of a backbone or of VGGish, under other names; and towers of our own.

A checkpoint may have more than is needed (a classifier, a PCA); what is needed must be there in its shape. The counts
of batches that batch norms keep are optional: checkpoints of before 2018 lack them, and nothing here uses them.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline.errors import ConfigError
from pipeline.models import pvt_v2, resnet
from pipeline.models.pyramid import Pyramid, PyramidName
from pipeline.models.towers import CoincidenceModel
from pipeline.models.vggish import VGGish

OPTIONAL = "num_batches_tracked"
NUM_NAMED = 3


def load_backbone(pyramid: Pyramid, name: PyramidName, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Put the tensors of torchvision's ResNet-50, or of PVT v2's own repository, into a backbone of that name.

    Args:
        pyramid: takes them.
        name: of the backbone.
        tensors: by their public names.
        origin: where they come from, for messages.
    Raises:
        ConfigError: they are of another network, or there are none for `plain`.
    """
    if name == "plain":
        raise ConfigError(f"{origin}: backbone = plain has no public weights; expected resnet50 or pvt_v2_b0 to b5.")
    _load(pyramid, resnet.PUBLIC_NAMES if name == "resnet50" else pvt_v2.PUBLIC_NAMES, tensors, f"{origin}: not {name}")


def load_vggish(vggish: VGGish, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Put the tensors of the public torch VGGish into it; arguments and errors as of `load_backbone`."""
    _load(vggish, {"": ""}, tensors, f"{origin}: not VGGish")


def load_towers(model: CoincidenceModel, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Put the tensors of both towers, visual_tower.* and audio_tower.*, into a coincidence model; errors as above."""
    for name, tower in (("visual_tower", model.visual_tower), ("audio_tower", model.audio_tower)):
        _load(tower, {f"{name}.": ""}, tensors, f"{origin}: not the {name} of coincidence.model")


def _load(module: nn.Module, names: Mapping[str, str], tensors: Mapping[str, Tensor], problem: str) -> None:
    own = {name: value for name, value in module.state_dict().items() if not name.endswith(OPTIONAL)}
    found, wrong = {}, []
    for name, value in own.items():
        public = next(theirs + name.removeprefix(ours) for theirs, ours in names.items() if name.startswith(ours))
        tensor = tensors.get(public)
        if tensor is None or tensor.shape != value.shape or not tensor.is_floating_point():
            wrong.append(f"{public} is {_format(tensor)}, expected {_format(value)}")
        else:
            found[name] = tensor
    if wrong:
        others = f"; {len(wrong) - NUM_NAMED} more" if len(wrong) > NUM_NAMED else ""
        raise ConfigError(
            f"{problem}: {len(wrong)} of its {len(own)} tensors do not fit: {'; '.join(wrong[:NUM_NAMED])}{others}. "
            "Use a checkpoint of that network, with the names of its public weights."
        )
    with torch.no_grad():
        module.load_state_dict(found, strict=False)


def _format(tensor: Tensor | None) -> str:
    if tensor is None:
        return "missing"
    shape = " x ".join(map(str, tensor.shape)) or "one number"
    return shape if tensor.is_floating_point() else f"{shape} of {str(tensor.dtype).removeprefix('torch.')}"
