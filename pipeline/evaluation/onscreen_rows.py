"""What a separation model makes of frozen examples: inner products and verdicts, and the table rows that follow.

The model runs once per example. Everything after it is arithmetic of the products of the two mixtures and the sources
with each other (`metrics/signal_products.py`), which the rows keep: see `operating_points.py`.
"""

from typing import Any, NamedTuple

import numpy as np

from pipeline.clips.samples import Clip
from pipeline.errors import DataError
from pipeline.metrics.localization import attention_mass, mask_share, pointing_hit_rate
from pipeline.metrics.signal_products import (
    ACTIVE_SHARE,
    capi_sdr_improvement_db,
    count_active,
    level_db,
    power,
    si_snr_db,
    snr_db,
    suppression_db,
)

NUM_MIXTURES = 2
SMALL_ENERGY = 1e-20  # of each source: in silence all count alike


class SeparatedExample(NamedTuple):
    """One example, separated into S sources."""

    products: np.ndarray
    """[2 + S, 2 + S] float64: means over time of the products of both mixtures and the sources with each other."""
    logits: np.ndarray
    """[S] log odds that the source is on screen."""
    assignment: np.ndarray
    """[S] 1 where the best assignment, found with both mixtures, gives the source to the first one, else 0."""
    similarity: np.ndarray
    """[2] cosine of the picture with the mixture, and with the on-screen estimate."""
    attention: np.ndarray
    """[K, rows, columns] where in the frames the on-screen estimate was looked for: the mean over its sources, by their
    energy in it; sum 1."""


def separate_examples(model: Any, towers: Any, examples: list[Clip]) -> list[SeparatedExample]:
    """The examples, separated together by a model in evaluation mode.

    Args:
        model: the separation model.
        towers: `pipeline.models.towers.Towers` that compare picture and sound.
        examples: of one evaluation set.
    Raises:
        DataError: the model's outputs are not finite.
    """
    import torch  # here, because evaluations are listed without it

    from pipeline.learners.augmentation import stack_frames, stack_waveforms
    from pipeline.losses.mixit import best_assignment
    from pipeline.models.separator import on_screen_estimate
    from pipeline.models.towers import similarity

    device = next(model.parameters()).device
    sounds = [example.waveforms for example in examples]
    first = stack_waveforms([of["first.flac"] for of in sounds])
    second = stack_waveforms([of.get("second.flac", np.zeros_like(of["first.flac"])) for of in sounds])
    references = torch.stack([first, second], dim=1).to(device)
    mixture, frames = references.sum(dim=1), stack_frames([example.frames for example in examples]).to(device)
    with torch.no_grad():
        output = model(mixture, frames)
        assignment = best_assignment(references, output.sources)[:, 0]
        waveforms = torch.cat([references, output.sources], dim=1).double()
        products = waveforms @ waveforms.mT / waveforms.shape[-1]
        similarities = similarity(towers, frames, torch.stack([mixture, on_screen_estimate(output)], dim=1))
        energy = (torch.sigmoid(output.logits).unsqueeze(-1) * output.sources).square().sum(dim=-1) + SMALL_ENERGY
        attention = torch.einsum("bs,bskhw->bkhw", energy / energy.sum(dim=1, keepdim=True), output.attention)
    found_tensors = (products, output.logits, assignment, similarities, attention)
    arrays = [tensor.double().cpu().numpy() for tensor in found_tensors]
    for example, *found in zip(examples, *arrays, strict=True):
        if not all(np.isfinite(array).all() for array in found):
            raise DataError(f"{example.key}: the model's sources or logits are not finite. Train it again.")
    return [SeparatedExample(*found) for found in zip(*arrays, strict=True)]


def hear_example(model: Any, example: Clip) -> tuple[np.ndarray, np.ndarray]:
    """The on-screen estimate [T] of an example, linear amplitude, and where it was looked for: `attention` above.

    Args:
        model: the separation model, in evaluation mode.
    """
    import torch

    from pipeline.learners.augmentation import stack_frames, stack_waveforms
    from pipeline.models.separator import on_screen_estimate

    device = next(model.parameters()).device
    mixture = stack_waveforms([np.sum(list(example.waveforms.values()), axis=0)]).to(device)
    with torch.no_grad():
        output = model(mixture, stack_frames([example.frames]).to(device))
    (found,) = separate_examples(model, model.classifier, [example])
    return on_screen_estimate(output)[0].float().cpu().numpy(), found.attention


def estimate_weights(logits: np.ndarray) -> np.ndarray:
    """[..., 2 + S] the on-screen estimate, sum_m sigmoid(logit_m) s_m, of logits [..., S], as weights of the products.

    arXiv:2011.01143, eq. (11).
    """
    mixtures = np.zeros((*logits.shape[:-1], NUM_MIXTURES))
    return np.concatenate([mixtures, 0.5 * (1 + np.tanh(0.5 * logits))], axis=-1)


def example_row(example: Clip, found: SeparatedExample, masks: np.ndarray | None = None) -> dict[str, Any]:
    """Row of the table `examples`; a figure that is not defined is null.

    `masks` [K, H, W]: what is seen to sound in the frames, where that is known (`sounding_masks.py`).
    """
    products, on = found.products, example.facts["eval_set"].startswith("on")
    first, second = np.eye(len(products))[:NUM_MIXTURES]
    mixture, estimate = first + second, estimate_weights(found.logits)
    powers = np.diag(products)
    has_second, is_silent = powers[1] > 0, not power(products, mixture) > 0
    num_references, num_sources = count_active(powers[:NUM_MIXTURES], powers[NUM_MIXTURES:])
    figures: dict[str, np.ndarray] = {}
    if on:
        figures["si_snr_db"] = si_snr_db(products, first, estimate)
        figures["snr_db"] = snr_db(products, first, estimate)
        figures["level_db"] = level_db(products, first, estimate)
        if has_second:  # else the mixture is its target: its SI-SNR is the metric's cap, and no gain is defined
            oracle = np.concatenate([np.zeros(NUM_MIXTURES), found.assignment])
            figures["si_snr_input_db"] = si_snr_db(products, first, mixture)
            figures["si_snr_improvement_db"] = figures["si_snr_db"] - figures["si_snr_input_db"]
            figures["si_snr_oracle_db"] = si_snr_db(products, first, oracle)
            figures["snr_gain_db"] = figures["snr_db"] - snr_db(products, first, mixture)
    else:
        figures["osr_db"] = suppression_db(products, mixture, estimate)
    figures["capi_sdri_db"] = capi_sdr_improvement_db(products, first * on, mixture, estimate)
    is_answered = power(products, estimate) > ACTIVE_SHARE * power(products, mixture)
    return {
        **{name: None if np.isnan(value) else float(value) for name, value in figures.items()},
        "eval_set": example.facts["eval_set"],
        "example_id": example.key,
        # <video_id>_<start in ms>: frozen sets are made of clips of `base`
        "video_id": example.facts["first_clip_id"].rpartition("_")[0],
        "is_answered": None if is_silent else bool(is_answered),
        "similarity_input": None if is_silent else float(found.similarity[0]),
        "similarity_estimate": None if is_silent else float(found.similarity[1]),
        **(_attention_figures(found.attention, masks) if on and masks is not None and masks.any() else {}),
        "num_references": num_references,
        "num_active_sources": num_sources,
        "power_first": float(powers[0]),
        "power_second": float(powers[1]),
        "product_first_second": float(products[0, 1]),
    }


def _attention_figures(attention: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    return {
        "attention_mass": attention_mass(attention, masks),
        "attention_hit_rate": pointing_hit_rate(attention, masks),
        "attention_chance": mask_share(masks),
    }


def source_rows(example: Clip, found: SeparatedExample) -> list[dict[str, Any]]:
    """Rows of the table `sources`."""
    eval_set = example.facts["eval_set"]
    on, is_mom = eval_set.startswith("on"), "second.flac" in example.waveforms
    of_first, of_second, *between = found.products[NUM_MIXTURES:].T
    mixture_power = float(found.products[:NUM_MIXTURES, :NUM_MIXTURES].sum())
    probabilities = estimate_weights(found.logits)[NUM_MIXTURES:]
    return [
        {
            "eval_set": eval_set,
            "example_id": example.key,
            "source": source,
            "probability": float(probabilities[source]),
            "logit": float(found.logits[source]),
            "weight": float(between[source][source]) / mixture_power if mixture_power > 0 else None,
            "on_screen": bool(on and (not is_mom or found.assignment[source] > 0.5)),
            "product_first": float(of_first[source]),
            "product_second": float(of_second[source]),
            "products": between[source].tolist(),
        }
        for source in range(len(found.logits))
    ]
