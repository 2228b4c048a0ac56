"""Multi-scale temporal convolutions: sizes, and how far a step sees."""

import torch

from pipeline.models.multi_scale_tcn import MultiScaleTCN


def test_layers_have_three_kernels_side_by_side_and_doubling_dilations() -> None:
    net = MultiScaleTCN(in_dim=5, branch_dim=4, out_dim=7, dropout=0.0)
    convolutions = [list(layer.branches) for layer in net.layers]
    assert [[conv.kernel_size for conv in layer] for layer in convolutions] == [[(3,), (5,), (7,)]] * 4
    assert [{conv.dilation for conv in layer} for layer in convolutions] == [{(1,)}, {(2,)}, {(4,)}, {(8,)}]
    for length in (1, 50):
        assert net(torch.rand(2, length, 5)).shape == (2, length, 7)


def test_a_step_sees_45_steps_before_and_after_it() -> None:
    torch.manual_seed(0)
    net = MultiScaleTCN(in_dim=3, branch_dim=4, out_dim=2, dropout=0.0).double().eval()
    steps = torch.randn(1, 120, 3, dtype=torch.float64, requires_grad=True)
    net(steps)[0, 60].sum().backward()
    reached = steps.grad[0].abs().sum(dim=1).nonzero().flatten()
    reach = 3 * (1 + 2 + 4 + 8)  # half of kernel 7, by dilation
    assert (reached[0].item(), reached[-1].item()) == (60 - reach, 60 + reach)
