"""Findings as lines: equal ones of several nodes are one, the worst of a check comes first."""

from jobs.console.findings import OK, PROBLEM, WARNING, Finding, merge


def test_equal_findings_of_several_nodes_are_one_line_that_names_four() -> None:
    found = [Finding(WARNING, "disk", "4 GB free", "Make room.", (f"node {index}",)) for index in range(6)]
    (merged,) = merge(found)
    assert str(merged) == "warning  disk: 4 GB free [node 0, node 1, node 2, node 3 and 2 more]. Make room."


def test_checks_keep_their_order_and_problems_come_first() -> None:
    found = [
        Finding(OK, "versions", "same", nodes=("a",)),
        Finding(OK, "disk", "room", nodes=("a",)),
        Finding(WARNING, "versions", "others", "Mend.", ("b",)),
        Finding(PROBLEM, "versions", "wrong", "Mend.", ("c",)),
        Finding(OK, "versions", "same", nodes=("d",)),
    ]
    merged = merge(found)
    assert [(each.check, each.level) for each in merged] == [
        ("versions", PROBLEM), ("versions", WARNING), ("versions", OK), ("disk", OK)
    ]  # fmt: skip
    assert merged[2].nodes == ("a", "d")


def test_escape_bytes_of_names_are_not_printed() -> None:
    assert "\x1b" not in str(Finding(PROBLEM, "root", "s3://bucket/\x1b[2J: denied", "Mend."))
