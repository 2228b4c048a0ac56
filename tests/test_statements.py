"""What follows from several sources: a refusal wins, whatever stands beside it and in whichever order."""

import itertools

from pipeline.rights.statements import NOTHING, Statement, combine

NO, YES, SILENT = Statement("no_train", "a"), Statement("train", "b"), Statement("unknown", "c")


def test_a_refusal_wins_then_a_permission_in_every_order() -> None:
    for found in itertools.permutations((NO, YES, SILENT, NOTHING)):
        assert combine(found) == NO
    for found in itertools.permutations((YES, SILENT, NOTHING)):
        assert combine(found) == YES


def test_of_two_refusals_the_first_is_named_and_of_silence_where_was_looked() -> None:
    assert combine([NO, Statement("no_train", "z")]) == NO
    assert combine([NOTHING, SILENT]) == SILENT
    assert combine([]) == combine([NOTHING]) == NOTHING


def test_combining_in_steps_is_combining_at_once() -> None:
    for found in itertools.product((NO, YES, SILENT, NOTHING), repeat=3):
        assert combine([combine(found[:2]), found[2]]) == combine(found)
