"""Rules that users write: their reasons, their nulls, their order, and what is refused before a folder is claimed."""

import collections

import pyarrow as pa
import pytest

from pipeline.errors import ConfigError
from pipeline.reports.querying import query
from pipeline.selection.expressions import Expression
from pipeline.selection.filtering import REASONS, FilteringConfig
from pipeline.selection.own_rules import OwnRules, Rule, read_rules
from pipeline.storage.workspace import Workspace
from pipeline.training.clipsets import load_clips
from schemas.selections import DRAWN_REASONS, SELECTIONS
from tests.helpers.imported import import_rows
from tests.helpers.ruled import fill, reasons_of

SIX = (
    "peav.similarity >= 0.25 as low_similarity",
    "tags.speech_fraction <= 0.5 OR labels.label = 'on_screen' as speech",
    "videos.license IN ('CC0', 'CC-BY') as not_free",
    "loudness_lufs > -35 AND silent_fraction < 0.9 as too_faint",
    "score > 0.1 + peav.offset_s / 10 as late",
    "tags.kind NOT LIKE 'mus%' as music",
)
# The same by hand, over the views of `earshot query`.
BY_HAND = """
    SELECT clip_id, CASE
        WHEN outcome <> 'kept' THEN 'not_cut:' || outcome
        WHEN score IS NULL THEN 'not_scored'
        WHEN label = 'off_screen' THEN 'labelled_off_screen'
        WHEN similarity IS NULL THEN 'no_peav'
        WHEN similarity < 0.25 THEN 'low_similarity'
        WHEN coalesce(tags.speech_fraction > 0.5, true) AND coalesce(label, '') <> 'on_screen'
            THEN CASE WHEN tags.speech_fraction IS NULL THEN 'no_tags' WHEN label IS NULL THEN 'no_label'
                 ELSE 'speech' END
        WHEN license IS NULL THEN 'no_license'
        WHEN license NOT IN ('CC0', 'CC-BY') THEN 'not_free'
        WHEN loudness_lufs <= -35 OR silent_fraction >= 0.9 THEN 'too_faint'
        WHEN loudness_lufs IS NULL THEN 'no_loudness_lufs'
        WHEN silent_fraction IS NULL THEN 'no_silent_fraction'
        WHEN offset_s IS NULL THEN 'no_peav'
        WHEN score <= 0.1 + offset_s / 10 THEN 'late'
        WHEN kind IS NULL THEN 'no_tags'
        WHEN kind[:3] = 'mus' THEN 'music'
        WHEN score < 0.2 THEN 'low_score'
        ELSE 'kept' END AS reason
    FROM (FROM clips WHERE spec = 'base')
    LEFT JOIN (SELECT clip_id, score FROM scores WHERE model = 'm') USING (clip_id)
    LEFT JOIN (SELECT clip_id, label FROM labels) USING (clip_id)
    LEFT JOIN (SELECT video_id, license FROM videos WHERE spec = 'base') USING (video_id)
    LEFT JOIN peav USING (clip_id) LEFT JOIN tags USING (clip_id)
"""


@pytest.fixture
def full(workspace: Workspace) -> Workspace:
    """What `fill` makes of the world."""
    return fill(workspace)


def test_six_rules_give_the_reasons_that_sql_by_hand_gives(full: Workspace) -> None:
    reasons = reasons_of(full, FilteringConfig(rules=SIX, min_score=0.2))
    expected = {row["clip_id"]: row["reason"] for row in query(full, BY_HAND).to_pylist()}
    assert reasons == expected
    assert len(set(reasons.values())) >= 10  # of the 18 that there may be


def test_the_first_rule_that_refuses_a_clip_is_its_reason(full: Workspace) -> None:
    texts = ("peav.similarity >= 0.5 as low_similarity", "peav.similarity >= 0.75 as not_high")
    forth, back = (
        reasons_of(full, FilteringConfig(rules=order), name) for order, name in ((texts, "a"), (texts[::-1], "b"))
    )
    assert {clip for clip in forth if forth[clip] == "kept"} == {clip for clip in back if back[clip] == "kept"}
    assert "low_similarity" not in back.values()
    assert collections.Counter(back.values())["not_high"] == sum(
        collections.Counter(forth.values())[reason] for reason in ("low_similarity", "not_high")
    )


def test_keep_fraction_is_of_what_the_rules_leave(full: Workspace) -> None:
    rules = ("peav.similarity IS NULL as seen",)
    left = [reason for reason in reasons_of(full, FilteringConfig(rules=rules), "a").values() if reason == "kept"]
    kept = [r for r in reasons_of(full, FilteringConfig(rules=rules, keep_fraction=0.5), "b").values() if r == "kept"]
    assert len(kept) == round(len(left) / 2) > 0


def test_a_value_that_cannot_be_computed_is_a_reason_of_its_own(full: Workspace) -> None:
    reasons = reasons_of(full, FilteringConfig(rules=("tags.kind::INT > 3 as small",)))
    assert {reason for reason in reasons.values() if "small" in reason or "tags" in reason} == {
        *("unknown_small", "no_tags")
    }


def test_a_clip_that_a_rule_refuses_is_not_drawn_for_its_label(full: Workspace) -> None:
    reasons_of(full, FilteringConfig(rules=("labels.label <> 'mixed' as own",), max_silent_fraction=0.5))
    rows = full.read_all("selections/s", SELECTIONS).to_pylist()
    drawn = set(load_clips(full, "s", "train", labelled=True).rows["clip_id"].to_pylist())
    assert {row["reason"] for row in rows if row["clip_id"] in drawn} <= {"kept", *DRAWN_REASONS}
    assert any(row["reason"] == "own" and row["split"] == "train" for row in rows)


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        (("peav.similarity > 1",), r"rule 1, peav\.similarity > 1: expected EXPRESSION as REASON"),
        (("score > 1 as x", "score > 1 as Low"), "rule 2, score > 1 as Low: expected EXPRESSION as REASON, wit"),
        (("as x",), "rule 1, as x: expected"),
        (("score > 1 as low-score",), "expected EXPRESSION as REASON"),
        (("score > 1 as x", "score > 2 as x"), "rule 2, score > 2 as x: another rule has the reason x"),
        (("score > 1 as no_score",), "begins with no_ and unknown_"),
        *(((f"score > 1 as {reason}",), "another rule has the reason") for reason in (*REASONS, "kept", "not_cut")),
    ],
)  # fmt: skip
def test_a_rule_has_a_form_and_a_reason_of_its_own(rules: tuple[str, ...], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        FilteringConfig(rules=rules)


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (
            "peav.similarty > 1 as x",
            r"^filtering\.rules, rule 2, peav\.similarty > 1 as x: column peav\.similarty at char",
        ),
        ("labels.label = 'mixed' as x", r"labels/spec=base: nothing there yet\."),
        ("events.n > 1 as x", "imported/events is about clips/events. Expected a table about clips/base"),
        ("scores.score > 1 as x", "column scores.score"),
    ],
)
def test_a_rule_reads_only_what_is_there(rule: str, found: str, workspace: Workspace) -> None:
    import_rows(workspace, "peav", {"similarity": "DOUBLE"}, {})
    import_rows(workspace, "events", {"n": "BIGINT"}, {}, spec="events")
    with pytest.raises(ConfigError, match=found):
        read_rules(workspace, ("motion > 0 as still", rule), are_scored=True, taken=REASONS)


def test_a_rule_about_the_score_needs_scores(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="nothing there yet, and the rule names the score") as error:
        read_rules(workspace, ("score > 0.5 as low",), are_scored=False, taken=REASONS)
    assert (error.value.topic, error.value.facts["stage"]) == ("missing", "scores/coincidence")
    assert read_rules(workspace, (), are_scored=False, taken=REASONS).stages == []


def test_a_rule_that_cannot_be_computed_is_named() -> None:
    bad = Rule("odd", Expression('abs("outcome") > 1', ("outcome",)))
    rules = OwnRules((Rule("x", Expression("outcome = 'kept'", ("outcome",))), bad))
    with pytest.raises(ConfigError, match=r'^filtering\.rules, rule 2, abs\("outcome"\) > 1 as odd: Binder Error'):
        list(rules.refusals(pa.table({"outcome": ["kept"]})))


def test_a_table_whose_nulls_would_have_a_built_in_reason_is_refused(workspace: Workspace) -> None:
    for name in ("train", "trains"):
        import_rows(workspace, name, {"x": "DOUBLE"}, {})
    with pytest.raises(ConfigError, match=r"rule 1, train\.x > 1 as y: column train\.x: .* the reason no_train, as"):
        read_rules(workspace, ("train.x > 1 as y",), are_scored=False, taken=REASONS)
    assert read_rules(workspace, ("trains.x > 1 as y",), are_scored=False, taken=REASONS).stages == ["imported/trains"]


def test_a_table_and_a_column_of_one_name_have_no_reason_in_common(workspace: Workspace) -> None:
    import_rows(workspace, "snr_db", {"x": "DOUBLE"}, {})
    import_rows(workspace, "peav", {"snr_db": "DOUBLE"}, {})
    found = r"rule 2, snr_db\.x > 1 as y: columns snr_db and snr_db\.x: .* the same reason no_snr_db\."
    for first, says in (("snr_db > 3 as z", found), ("duration_s > 3 as z", None), ("peav.snr_db > 3 as z", None)):
        rules = (first, "snr_db.x > 1 as y")
        if says is None:
            read_rules(workspace, rules, are_scored=False, taken=REASONS)
        else:
            with pytest.raises(ConfigError, match=says):
                read_rules(workspace, rules, are_scored=False, taken=REASONS)
    read_rules(workspace, ("videos.duration_s > 3 AND duration_s > 3 as z",), are_scored=False, taken=REASONS)


def test_parts_without_clips_have_no_reasons(workspace: Workspace) -> None:
    import_rows(workspace, "peav", {"similarity": "DOUBLE"}, {})
    rules = read_rules(workspace, ("peav.similarity > 1 as x",), are_scored=True, taken=REASONS)
    empty = pa.table({"peav.similarity": pa.array([], pa.float64())})
    assert [(reason, len(mask)) for _, reason, mask in rules.refusals(empty)] == [("unknown_x", 0), ("x", 0)]
    assert rules.stages == ["imported/peav"]
