"""Headers about training, after the drafts and RFCs that define them."""

import pytest

from pipeline.rights.usage_headers import MAX_HEADER, read_content_usage, read_reservation, read_robots_tag


@pytest.mark.parametrize(
    ("value", "rights"),
    [
        ("train-ai=n", "no_train"),
        ("train-ai=y, search=n", "train"),
        ("search=n, ai-use=n", "unknown"),  # neither is about training
        ("", "unknown"),  # an empty dictionary
        # the draft's own examples, sections 6.4.1 and 6.4.2 of -08: a boolean is no token; parameters of the last count
        ('train-ai=y, train-ai, search=n, search="n"', "unknown"),
        ("train-ai;allow=n, train-ai=y", "train"),
        ("train-ai=n;why=terms", "no_train"),
        ("train-ai=N", "unknown"),  # a token, and neither y nor n
        ('train-ai="n"', "unknown"),
        ("train-ai=(n y)", "unknown"),
        # categories of earlier drafts: within another, or around it
        ("bots=n", "no_train"),
        ("bots=n, train-ai=y", "train"),
        ("bots=y", "unknown"),
        ("train-ai=y, train-genai=n", "no_train"),
        ("train-genai=y", "unknown"),
        ("x-new=n, train-ai=n", "no_train"),  # unknown labels are ignored
    ],
)
def test_content_usage_is_read_as_the_drafts_have_it(value: str, rights: str) -> None:
    assert read_content_usage(value) == rights


@pytest.mark.parametrize(
    "value",
    [
        "Train-AI=n",
        "train-ai=n,",
        "train-ai =n",
        "train-ai=n; search=y x",
        "train-ai=",
        "\u0442rain-ai=n",
        "a" * (MAX_HEADER + 1),
    ],
)
def test_what_is_no_dictionary_of_rfc_9651_says_nothing(value: str) -> None:
    assert read_content_usage(value) is None


@pytest.mark.parametrize(
    "value", ["noai", "noindex, NOAI", "noimageai", "somebot: noai", "noindex, somebot: nofollow, noai "]
)
def test_noai_refuses_whichever_robot_it_names(value: str) -> None:
    assert read_robots_tag(value) == "no_train"


@pytest.mark.parametrize(
    "value", ["", "none", "noindex", "all", "noairplay", "unavailable_after: 25 Jun 2010 15:00:00 PST"]
)
def test_other_directives_say_nothing_of_training(value: str) -> None:
    assert read_robots_tag(value) == "unknown"


def test_a_reservation_of_text_and_data_mining_refuses() -> None:
    assert [read_reservation(value) for value in ("1", " 1 ", "0", "", "yes")] == ["no_train"] * 2 + ["unknown"] * 3
