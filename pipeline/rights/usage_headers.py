"""Headers that websites send with a file -> what they say of its use for training.

Design note: the vocabulary of AI preferences is a draft that has changed its categories. Earlier ones had `bots` (all
automated processing), of which `train-ai` was a part, and `train-genai`, a part of that; the present one has neither,
and no category within another (draft-ietf-aipref-vocab-01 and -08). Read here, any version's refusal counts, and a
permission only where it is of `train-ai` itself. A dictionary that cannot be parsed says nothing, as the draft has it.
"""

import functools

import http_sf

from schemas.videos import Rights

MAX_HEADER = 1 << 13  # characters; web servers refuse longer ones
CACHED = 4096  # different headers: a collection has few
TRAINING = ("train-ai", "train-genai")
ALL_AUTOMATED = "bots"
NO_AI = ("noai", "noimageai")


@functools.lru_cache(CACHED)
def read_content_usage(value: str) -> Rights | None:
    """What a header `Content-Usage` says of training, or None where it is no dictionary of RFC 9651.

    The dictionary is of draft-ietf-aipref-vocab-08, sections 6.1 to 6.4: tokens `y` and `n`; anything else is unknown,
    and of several values of a key the last counts.

    >>> [read_content_usage(value) for value in ("train-ai=n, search=y", "train-ai=y", "bots=n", "search=y", "a = n")]
    ['no_train', 'train', 'no_train', 'unknown', None]
    """
    if len(value) > MAX_HEADER:
        return None
    try:
        found = http_sf.parse(value.encode("ascii"), tltype="dictionary")
    except (http_sf.StructuredFieldError, UnicodeEncodeError):
        return None
    assert isinstance(found, dict)
    says = {key: _preference(found[key]) for key in (*TRAINING, ALL_AUTOMATED) if key in found}
    if "n" in [says.get(key) for key in TRAINING]:
        return "no_train"
    if says.get("train-ai") == "y":
        return "train"
    return "no_train" if says.get(ALL_AUTOMATED) == "n" else "unknown"


def _preference(member: object) -> str | None:
    """`y`, `n`, or None for every other member of a dictionary, an (item, parameters)."""
    item = member[0] if isinstance(member, tuple) else None
    return str(item) if isinstance(item, http_sf.Token) and str(item) in ("y", "n") else None


@functools.lru_cache(CACHED)
def read_robots_tag(value: str) -> Rights:
    """What a header `X-Robots-Tag` says: `noai` and `noimageai` refuse, for whichever robot; no directive permits.

    >>> read_robots_tag("noindex, otherbot: NoAI"), read_robots_tag("noindex, nofollow")
    ('no_train', 'unknown')
    """
    directives = (each.rpartition(":")[2].strip().lower() for each in value[:MAX_HEADER].split(","))
    return "no_train" if any(directive in NO_AI for directive in directives) else "unknown"


def read_reservation(value: str) -> Rights:
    """What a header `TDM-Reservation` says (W3C's TDM Reservation Protocol): 1 reserves the right, 0 does not.

    >>> read_reservation("1"), read_reservation("0")
    ('no_train', 'unknown')
    """
    return "no_train" if value.strip() == "1" else "unknown"
