"""Public checkpoints under their own names, made here: what fits is taken, what does not is named."""

import re

import pytest
import torch

from pipeline.errors import ConfigError
from pipeline.models import vggish as vggish_module
from pipeline.models.public_weights import load_backbone, load_vggish
from pipeline.models.pvt_v2 import VARIANTS
from pipeline.models.pyramid import pyramid
from pipeline.models.vggish import VGGish

Shapes = dict[str, tuple[int, ...]]


def resnet50_shapes() -> Shapes:
    """Names and shapes of torchvision's ResNet-50, by the rule of its paper."""
    shapes: Shapes = {"conv1.weight": (64, 3, 7, 7)} | norm("bn1", 64)
    channels = 64
    for layer, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], start=1):
        for block in range(blocks):
            prefix = f"layer{layer}.{block}"
            sizes = [(width, channels, 1), (width, width, 3), (4 * width, width, 1)]
            for number, (out, into, kernel) in enumerate(sizes, start=1):
                shapes[f"{prefix}.conv{number}.weight"] = (out, into, kernel, kernel)
                shapes |= norm(f"{prefix}.bn{number}", out)
            if block == 0:
                shapes[f"{prefix}.downsample.0.weight"] = (4 * width, channels, 1, 1)
                shapes |= norm(f"{prefix}.downsample.1", 4 * width)
            channels = 4 * width
    return shapes | {"fc.weight": (1000, 2048), "fc.bias": (1000,)}


def norm(name: str, channels: int) -> Shapes:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def pvt_shapes(name: str) -> Shapes:
    """Names and shapes of the public PVT v2."""
    dims, expansions, depths = VARIANTS[name]
    shapes: Shapes = {}

    def layer(prefix: str, *shape: int) -> None:
        shapes[f"{prefix}.weight"] = shape
        shapes[f"{prefix}.bias"] = shape[:1]

    for i, dim in enumerate(dims):
        kernel, into = (3, dims[i - 1]) if i else (7, 3)
        layer(f"patch_embed{i + 1}.proj", dim, into, kernel, kernel)
        layer(f"patch_embed{i + 1}.norm", dim)
        for j in range(depths[i]):
            prefix, hidden, reduction = f"block{i + 1}.{j}", expansions[i] * dim, (8, 4, 2, 1)[i]
            for part in ("norm1", "norm2"):
                layer(f"{prefix}.{part}", dim)
            layer(f"{prefix}.attn.q", dim, dim)
            layer(f"{prefix}.attn.kv", 2 * dim, dim)
            layer(f"{prefix}.attn.proj", dim, dim)
            if reduction > 1:
                layer(f"{prefix}.attn.sr", dim, dim, reduction, reduction)
                layer(f"{prefix}.attn.norm", dim)
            layer(f"{prefix}.mlp.fc1", hidden, dim)
            layer(f"{prefix}.mlp.dwconv.dwconv", hidden, 1, 3, 3)
            layer(f"{prefix}.mlp.fc2", dim, hidden)
        layer(f"norm{i + 1}", dim)
    layer("head", 1000, dims[-1])
    return shapes


def vggish_shapes(hidden: int = 4096) -> Shapes:
    shapes: Shapes = {}
    convolutions = {0: (64, 1), 3: (128, 64), 6: (256, 128), 8: (256, 256), 11: (512, 256), 13: (512, 512)}
    for place, (out, into) in convolutions.items():
        shapes |= {f"features.{place}.weight": (out, into, 3, 3), f"features.{place}.bias": (out,)}
    for place, (out, into) in {0: (hidden, 12_288), 2: (hidden, hidden), 4: (128, hidden)}.items():
        shapes |= {f"embeddings.{place}.weight": (out, into), f"embeddings.{place}.bias": (out,)}
    return shapes


def checkpoint(shapes: Shapes) -> dict[str, torch.Tensor]:
    """Tensors whose numbers name their place in the list; expanded, so that they need no memory."""
    return {name: torch.tensor(float(place)).expand(shape) for place, (name, shape) in enumerate(shapes.items())}


def num_weights(shapes: Shapes) -> int:
    return sum(torch.Size(shape).numel() for name, shape in shapes.items() if "running" not in name)


# --- what fits ---


@pytest.mark.usefixtures("no_drawing")
def test_resnet50_has_the_public_number_of_parameters_and_takes_every_tensor() -> None:
    shapes, net = resnet50_shapes(), pyramid("resnet50")
    assert num_weights(shapes) == 25_557_032
    assert sum(parameter.numel() for parameter in net.parameters()) == 23_508_032
    tensors = checkpoint(shapes)
    load_backbone(net, "resnet50", tensors, "file")
    state = net.state_dict()
    for public, own in {
        "conv1.weight": "stages.0.0.weight",
        "bn1.running_var": "stages.0.1.running_var",
        "layer1.2.conv3.weight": "stages.0.4.2.conv3.weight",
        "layer2.0.downsample.1.bias": "stages.1.0.downsample.1.bias",
        "layer4.2.bn3.running_mean": "stages.3.2.bn3.running_mean",
    }.items():
        assert torch.equal(state[own], tensors[public]), public
    own = [name for name in state if not name.endswith("num_batches_tracked")]
    assert len(own) == len(shapes) - 2
    assert len({state[name].flatten()[0].item() for name in own}) == len(own)  # each from a place of its own


@pytest.mark.parametrize(("number", "millions"), enumerate([3.7, 14.0, 25.4, 45.2, 62.6, 82.0]))
def test_pvt_v2_has_the_published_number_of_parameters(number: int, millions: float) -> None:
    assert round(num_weights(pvt_shapes(f"pvt_v2_b{number}")) / 1e6, 1) == millions


@pytest.mark.usefixtures("no_drawing")
def test_pvt_v2_takes_every_tensor_but_the_head() -> None:
    shapes, net = pvt_shapes("pvt_v2_b0"), pyramid("pvt_v2_b0")
    assert sum(parameter.numel() for parameter in net.parameters()) == num_weights(shapes) - 1000 * (256 + 1)
    tensors = checkpoint(shapes)
    load_backbone(net, "pvt_v2_b0", tensors, "file")
    state = net.state_dict()
    for public, own in {
        "patch_embed1.proj.weight": "stages.0.patch_embed.proj.weight",
        "block2.1.attn.sr.weight": "stages.1.block.1.attn.sr.weight",
        "block4.0.mlp.dwconv.dwconv.bias": "stages.3.block.0.mlp.dwconv.dwconv.bias",
        "norm3.weight": "stages.2.norm.weight",
    }.items():
        assert torch.equal(state[own], tensors[public]), public
    assert len({value.flatten()[0].item() for value in state.values()}) == len(shapes) - 2


def test_vggish_takes_its_72_million_weights_by_their_public_names_and_leaves_the_pca(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert num_weights(vggish_shapes()) == 72_141_184
    monkeypatch.setattr(vggish_module, "HIDDEN_DIM", 8)
    net, tensors = VGGish(), checkpoint(vggish_shapes(hidden=8))
    load_vggish(net, tensors | {"pproc.pca_means": torch.zeros(128, 1)}, "file")
    state = net.state_dict()
    assert state.keys() == tensors.keys()
    assert all(torch.equal(value, tensors[name]) for name, value in state.items())


# --- what does not ---


@pytest.mark.usefixtures("no_drawing")
def test_the_first_three_tensors_that_do_not_fit_are_named_with_both_shapes() -> None:
    tensors = checkpoint(resnet50_shapes())
    tensors["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    del tensors["bn1.bias"]
    tensors["layer1.0.conv1.weight"] = torch.zeros(64, 64, 1, 1, dtype=torch.int64)
    tensors["layer4.0.conv1.weight"] = torch.zeros(3)
    net = pyramid("resnet50")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    message = (
        "r.pth: not resnet50: 4 of its 265 tensors do not fit: "
        "conv1.weight is 64 x 1 x 7 x 7, expected 64 x 3 x 7 x 7; "
        "bn1.bias is missing, expected 64; "
        "layer1.0.conv1.weight is 64 x 64 x 1 x 1 of int64, expected 64 x 64 x 1 x 1; 1 more. Use"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_backbone(net, "resnet50", tensors, "r.pth")
    for name, value in net.state_dict().items():  # nothing was changed
        assert torch.equal(value.nan_to_num(), before[name].nan_to_num()), name


def test_weights_of_another_network_or_for_plain_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"not pvt_v2_b0: .* patch_embed1.proj.weight is missing, expected 32 x 3 x 7"
    ):
        load_backbone(pyramid("pvt_v2_b0"), "pvt_v2_b0", checkpoint(resnet50_shapes()), "r.pth")
    with pytest.raises(ConfigError, match="backbone = plain has no public weights"):
        load_backbone(pyramid("plain"), "plain", {}, "r.pth")
