"""The linear probe is the minimum of two logistic regressions."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from pipeline.learners.event_probe import ProbeConfig, fit_head
from pipeline.losses.cpsp import NO_CATEGORY
from pipeline.models.psp import PSPConfig, SeparateHead

NUM_CLIPS, NUM_SEGMENTS, WIDTH = 80, 5, 6
DECAY = 1e-3


def labelled() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    fused = torch.randn(NUM_CLIPS, NUM_SEGMENTS, WIDTH, generator=generator, dtype=torch.float64)
    noise = torch.randn(NUM_CLIPS, NUM_SEGMENTS, generator=generator)
    is_event = fused[..., 0] + noise > 0
    tag = (fused.mean(dim=1)[:, 1:4] + 0.3 * torch.randn(NUM_CLIPS, 3, generator=generator)).argmax(dim=1)
    return fused, is_event, tag.where(torch.arange(NUM_CLIPS) % 9 > 0, NO_CATEGORY)


def fitted(seed: int = 0) -> SeparateHead:
    torch.manual_seed(seed)
    head = SeparateHead(PSPConfig(lstm_dim=WIDTH // 2), 3).double()
    fit_head(head, *labelled(), ProbeConfig(weight_decay=DECAY, num_iterations=500))
    return head


def test_the_probe_is_what_logistic_regression_finds() -> None:
    head, (fused, is_event, tag) = fitted(), labelled()
    event = LogisticRegression(C=1 / (2 * DECAY * is_event.numel()), tol=1e-10, max_iter=10_000)
    event.fit(fused.flatten(0, 1).numpy(), is_event.flatten().numpy())
    np.testing.assert_allclose(head.event.weight.detach().numpy(), event.coef_, atol=2e-3)
    np.testing.assert_allclose(head.event.bias.detach().numpy(), event.intercept_, atol=2e-3)
    has_tag = tag != NO_CATEGORY
    category = LogisticRegression(C=1 / (2 * DECAY * int(has_tag.sum())), tol=1e-10, max_iter=10_000)
    category.fit(fused.mean(dim=1)[has_tag].numpy(), tag[has_tag].numpy())
    expected = category.predict_proba(fused.mean(dim=1).numpy())
    np.testing.assert_allclose(head(fused)[1].softmax(dim=1).detach().numpy(), expected, atol=5e-3)


def test_the_probe_does_not_depend_on_the_weights_before_it() -> None:
    for name, value in fitted(0).state_dict().items():
        assert torch.equal(value, fitted(1).state_dict()[name]), name
