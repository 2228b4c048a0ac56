"""What a licence means whose name a collection states: its id on the Hugging Face Hub, its address, its terms.

Design note: terms are given for Creative Commons licences alone, as their names say them. Any other text stays what
it is, a name: what it allows, a person has to read.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

SITE = "https://creativecommons.org"
# The Hub's ids of Creative Commons licences, as its list of licences has them; another version has none there.
HUB_IDS = frozenset(
    (
        *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    )
)
FAMILY, OTHER, UNKNOWN = "cc", "other", "unknown"  # the Hub's words for what has no id of its own
ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?creativecommons\.org/(?:licenses|publicdomain)/([a-z-]+)/(\d\.\d)\b.*")
NAME = re.compile(r"cc[ -]?(0|zero|by(?:[ -](?:nc|nd|sa))*)(?:[ -](\d\.\d))?(?: (?:international|unported|universal))?")
WORDS = {
    "creative commons": "cc",
    "attribution": "by",
    "noncommercial": "nc",
    "non-commercial": "nc",
    "sharealike": "sa",
    "share-alike": "sa",
    "noderivatives": "nd",
    "noderivs": "nd",
    " license (reuse allowed)": "",  # as YouTube states it
    "_": "-",
}
# Terms in Creative Commons' own vocabulary, http://creativecommons.org/ns#; the misspelling is its own.
REPRODUCE, DISTRIBUTE, DERIVE = "cc:Reproduction", "cc:Distribution", "cc:DerivativeWorks"
NOTICE, ATTRIBUTION, SHARE_ALIKE, COMMERCIAL = "cc:Notice", "cc:Attribution", "cc:ShareAlike", "cc:CommercialUse"


class License(NamedTuple):
    """What is known of a licence."""

    stated: str | None
    """As the collection states it; None where it states none."""
    hub_id: str
    address: str | None = None
    permits: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    forbids: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For people."""
        return self.stated or "none stated"


def read_license(stated: str | None) -> License:
    """What is known of a licence as a collection states it.

    >>> read_license("CC BY-NC 4.0")[1:3]
    ('cc-by-nc-4.0', 'https://creativecommons.org/licenses/by-nc/4.0/')
    >>> read_license("https://creativecommons.org/licenses/by/3.0/de/").requires
    ('cc:Notice', 'cc:Attribution')
    >>> read_license("ask the author"), read_license(None).hub_id
    (License(stated='ask the author', hub_id='other', address=None, permits=(), requires=(), forbids=()), 'unknown')
    """
    if stated is None or not stated.strip():
        return License(None, UNKNOWN)
    text = stated.strip().lower()
    found = ADDRESS.fullmatch(text)
    if not found:
        for word, short in WORDS.items():
            text = text.replace(word, short)
        found = NAME.fullmatch(" ".join(text.split()))
    if not found:
        return License(stated, OTHER)
    code, version = found[1].replace(" ", "-"), found[2]
    if code in ("0", "zero"):
        address = f"{SITE}/publicdomain/zero/{version or '1.0'}/"
        return License(stated, "cc0-1.0", address, (REPRODUCE, DISTRIBUTE, DERIVE))
    terms = code.split("-")
    if terms[0] != "by":  # such as the mark of what is in the public domain by itself
        return License(stated, OTHER)
    hub_id = f"cc-{code}-{version}"
    return License(
        stated,
        hub_id if hub_id in HUB_IDS else FAMILY,
        f"{SITE}/licenses/{code}/{version}/" if version else None,
        (REPRODUCE, DISTRIBUTE, *([] if "nd" in terms else [DERIVE])),
        (NOTICE, ATTRIBUTION, *([SHARE_ALIKE] if "sa" in terms else [])),
        (COMMERCIAL,) if "nc" in terms else (),
    )


def hub_license(licenses: Sequence[License]) -> str | list[str]:
    """What the field `license` of a card on the Hub says: one id, several, or `other` where one has no id.

    >>> hub_license([read_license("CC0"), read_license("CC BY 4.0")]), hub_license([read_license(None)])
    (['cc-by-4.0', 'cc0-1.0'], 'unknown')
    >>> hub_license([read_license("CC0"), read_license("mine")])
    'other'
    """
    ids = sorted({each.hub_id for each in licenses})
    if len(ids) == 1:
        return ids[0]
    return OTHER if {OTHER, UNKNOWN} & set(ids) else ids
