"""Terms of a report page in a sentence each, and plain names of evaluation sets and curves that have a raw one."""

import re
from collections.abc import Iterable

TERMS = {
    "AUC": "how often a model puts a right one above a wrong one: 0.5 is guessing, 1 is perfect",
    "baseline": "what the figure is without a model: guessing, or the mixture as it came",
    "EER": "equal error rate: share of wrong answers where both kinds of mistakes are as frequent; 0.5 is guessing",
    "interval": "in brackets: in 95 of 100 draws of other videos the figure would lie there",
    "kept": "not refused by any rule",
    "match AUC": "AUC of own sounds against sounds of other videos, by the coincidence model",
    "mIoU": "share of pixels that a found and a true mask have in common, of those in either; mean over frames",
    "n": "examples, sources or pairs behind a figure: few make it uncertain",
    "OSR": "off-screen suppression ratio: how far sound from outside the picture is turned down, in dB",
    "R@1": "share of cases in which the right one is ranked first",
    "SI-SNR": "how far a separated sound rises above what is wrong in it, whatever its level, in dB; higher is better",
    "SI-SNRi": "how much of that the model adds to the untouched mixture",
    "SNR gain": "the same with a wrong level counted as wrong",
    "split": "train, validate or test: all clips of a video are in one, and only test is in the figures",
    "V->A": "from the picture to its sound; A->V is the other way",
    "coincidence score": "probability that sound and picture of a clip belong together, 0 to 1",
}
SETS = {
    "on_mom": "on-screen sound in a mixture of two clips",
    "off_mom": "mixture of two off-screen clips",
    "on_single": "on-screen clip alone",
    "off_single": "off-screen clip alone",
    "held_out_pairs": "pictures and sounds of test videos",
    "labelled_test": "test clips that people labelled",
    "labelled_validate": "validation clips that people labelled",
    "labelled_train": "training clips that people labelled",
    "moms": "mixtures of two clips, on-screen and off-screen ones",
    "singles": "clips alone, on-screen and off-screen ones",
    "all": "all sets together",
    "validate": "validation videos",
    "test": "test videos",
}
CURVES = {
    "info_nce": "contrast with other clips of the batch (InfoNCE), nats",
    "nce": "contrast with a memory of clips (NCE), nats",
    "information_bound": "log k - L: nats that picture and sound tell of each other at least, with k other clips",
    "matched": "share of pictures whose own sound scores above another",
    "gradient_norm": "length of the gradient before it is shortened",
    "learning_rate": "learning rate",
    "separation_db": "negative SNR of the best sums of sources, dB",
    "classification": "cross-entropy of what is on screen, nats",
    "contrast": "contrast of sources with pictures, nats",
    "cross_entropy": "cross-entropy, nats",
    "iou": "intersection over union",
    "short": "contrast of lips and sound at 0.2 s, nats",
    "long": "contrast of lips and sound of whole clips, nats",
    "identity": "cross-entropy of the discriminator of identities, nats: 0.69 is guessing",
    "modality": "cross-entropy of the classifier of lips and speech, nats: 0.69 is guessing",
    "short_recall": "R@1 of a window's own sound among those of its clip",
    "long_recall": "R@1 of a clip's own sound among those of the batch",
}


def plain(name: str) -> str:
    """What a name of the tables means, or reads as: that of an evaluation set, an outcome, a reason, a curve.

    >>> plain("on_single"), plain("labelled_off_screen")
    ('on-screen clip alone', 'labelled off screen')
    """
    return (SETS | CURVES).get(name) or name.replace("_", " ")


def used_terms(text: str, terms: Iterable[str] = TERMS) -> dict[str, str]:
    """The terms that occur in a page's text, by the alphabet, with their meaning."""
    found = (term for term in terms if re.search(rf"\b{re.escape(term)}\b", text))
    return {term: TERMS[term] for term in sorted(found, key=str.lower)}
