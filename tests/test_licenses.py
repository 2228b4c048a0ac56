"""Licences: known by their names and addresses, and no terms for what is not known."""

import doctest

import pytest

from pipeline.reports import licenses
from pipeline.reports.licenses import HUB_IDS, hub_license, read_license

BY = ("cc:Notice", "cc:Attribution")


@pytest.mark.parametrize(
    ("stated", "hub_id", "address"),
    [
        ("CC0", "cc0-1.0", "publicdomain/zero/1.0/"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0", "publicdomain/zero/1.0/"),
        ("CC BY 4.0", "cc-by-4.0", "licenses/by/4.0/"),
        ("cc-by-sa-3.0", "cc-by-sa-3.0", "licenses/by-sa/3.0/"),
        ("CC_BY_NC_SA 4.0 International", "cc-by-nc-sa-4.0", "licenses/by-nc-sa/4.0/"),
        (
            "Creative Commons Attribution-NonCommercial-NoDerivs 3.0 Unported",
            "cc-by-nc-nd-3.0",
            "licenses/by-nc-nd/3.0/",
        ),
        ("https://www.creativecommons.org/licenses/by-nd/4.0/legalcode.en", "cc-by-nd-4.0", "licenses/by-nd/4.0/"),
        ("CC BY-SA 2.0", "cc", "licenses/by-sa/2.0/"),  # a licence without an id of its own on the Hub
        ("Creative Commons Attribution license (reuse allowed)", "cc", None),  # of no version
        ("https://creativecommons.org/publicdomain/mark/1.0/", "other", None),
        ("CC BY 4.0 except for the music", "other", None),
        ("https://evil.example/creativecommons.org/licenses/by/4.0/", "other", None),
        ("All rights reserved", "other", None),
        ("", "unknown", None),
        (None, "unknown", None),
    ],
)
def test_a_licence_is_known_by_its_name_or_address(stated: str | None, hub_id: str, address: str | None) -> None:
    found = read_license(stated)
    assert found.hub_id == hub_id
    assert found.address == (address and f"https://creativecommons.org/{address}")
    assert bool(found.permits) == (hub_id.startswith("cc"))


@pytest.mark.parametrize(
    ("code", "requires", "derives", "forbids"),
    [
        ("by", BY, True, ()),
        ("by-sa", (*BY, "cc:ShareAlike"), True, ()),
        ("by-nd", BY, False, ()),
        ("by-nc", BY, True, ("cc:CommercialUse",)),
        ("by-nc-sa", (*BY, "cc:ShareAlike"), True, ("cc:CommercialUse",)),
        ("by-nc-nd", BY, False, ("cc:CommercialUse",)),
    ],
)
def test_the_terms_are_those_of_creative_commons_own_descriptions(
    code: str, requires: tuple[str, ...], derives: bool, forbids: tuple[str, ...]
) -> None:
    found = read_license(f"https://creativecommons.org/licenses/{code}/4.0/")
    assert (found.requires, found.forbids) == (requires, forbids)
    assert ("cc:DerivativeWorks" in found.permits) == derives
    assert found.hub_id in HUB_IDS


def test_a_card_names_one_licence_several_or_other() -> None:
    known, free, own, none = map(read_license, ("CC BY 4.0", "CC0", "mine", None))
    assert hub_license([known, known]) == "cc-by-4.0"
    assert hub_license([known, free]) == ["cc-by-4.0", "cc0-1.0"]
    assert [hub_license([known, each]) for each in (own, none)] == ["other", "other"]
    assert (hub_license([own]), hub_license([none])) == ("other", "unknown")


def test_examples_of_the_docstrings() -> None:
    found = doctest.testmod(licenses)
    assert (found.failed, found.attempted > 0) == (0, True)
