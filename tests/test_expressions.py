"""Expressions over columns of clips: what may be written, what is refused and where, and the value for each clip."""

import pyarrow as pa
import pytest

from pipeline.errors import ConfigError
from pipeline.selection.expressions import FUNCTIONS, Expression, check_truth, evaluate, read_expression

KINDS = {
    "loudness_lufs": pa.float64(),
    "outcome": pa.string(),
    "videos.extra": pa.string(),
    "peav.similarity": pa.float64(),
    "peav.vector": pa.list_(pa.float32()),
    "tags.speech": pa.bool_(),
}
CLIPS = pa.table(
    {
        "loudness_lufs": pa.array([-20.0, -40.0, None]),
        "outcome": pa.array(["kept", "12", "kept"]),
        "videos.extra": pa.array(['{"kind": "dog"}', '{"kind": "cat"}', None]),
        "peav.similarity": pa.array([0.1, 0.25, 0.9]),
        "peav.vector": pa.array([[1.0, 0.0], [0.0, 2.0], None], pa.list_(pa.float32())),
        "tags.speech": pa.array([True, False, None]),
    }
)


def values(text: str) -> list[bool | None]:
    expression = read_expression(text, KINDS)
    check_truth(expression, pa.schema([(name, KINDS[name]) for name in expression.columns]))
    return evaluate([expression], CLIPS)[0].to_pylist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("peav.similarity >= 0.25", [False, True, True]),
        ('"peav"."SIMILARITY" >= 0.25 -- the end', [False, True, True]),
        ("loudness_lufs > -30", [True, False, None]),
        ("loudness_lufs IS NULL OR loudness_lufs > -30", [True, False, True]),
        ("coalesce(loudness_lufs, 0) BETWEEN -30 AND 0 AND NOT tags.speech", [False, False, None]),
        ("outcome IN ('kept', 'none')", [True, False, True]),
        ("outcome LIKE 'k%' AND length(outcome) = 4", [True, False, True]),
        ("outcome::INT = 12", [None, True, None]),
        ("videos.extra->>'kind' = 'dog'", [True, False, None]),
        ("CASE WHEN peav.similarity < 0.2 THEN tags.speech ELSE false END", [True, False, False]),
        ("peav.vector[1] > 0", [True, False, None]),
        ("list_cosine_similarity(peav.vector, [1, 0]) > 0.5", [True, False, None]),
        ("abs(loudness_lufs + 20) / 10 <= 1 + 2 * peav.similarity", [True, False, None]),
        ("contains(['kept', 'none'], outcome)", [True, False, True]),
        ("list_contains([-0.5, 0.1], peav.similarity)", [True, False, False]),
        ("tags.speech", [True, False, None]),
    ],
)
def test_the_value_for_each_clip(text: str, expected: list[bool | None]) -> None:
    assert values(text) == expected


def test_columns_are_named_once_and_what_runs_is_written_anew() -> None:
    expression = read_expression("Peav.similarity > 0.5 /* x */ or peav.Similarity < tags.speech::INT", KINDS)
    assert expression.columns == ("peav.similarity", "tags.speech")
    assert "x" not in expression.sql.replace("::", "").lower()
    assert expression.sql.count('"peav.similarity"') == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "SELECT clause without selection list"),
        ("peav.similarity >= > 3", r'syntax error at or near ">" at character 20'),
        ("peav.similarty > 3", r"column peav\.similarty at character 1: .* Did you mean peav\.similarity\?"),
        ("true and pave.similarity > 3", r"column pave\.similarity at character 10: .* tables are peav, tags, videos"),
        ("loudness > -30", r"clips has loudness_lufs, outcome; other tables are peav, tags, videos"),
        ("'é' = outcom", r"column outcom at character 7: there is none\. Did you mean outcome\?"),
        ("current_user = 'x'", "column current_user at character 1"),
        ("peav.similarity > (SELECT 1)", "a subquery at character 19"),
        ("EXISTS (FROM 'x.csv')", "a subquery at character 1"),
        ("outcome = ANY(['kept'])", "a subquery"),
        ("tags.speech FROM 'x.csv'", "more than an expression"),
        ("tags.speech WHERE true", "more than an expression"),
        ("tags.speech ORDER BY 1", "more than an expression"),
        ("DISTINCT tags.speech", "more than an expression"),
        ("tags.speech UNION SELECT true", "more than an expression"),
        ("true; DROP TABLE clips", "Only SELECT statements can be serialized"),
        ("true; SELECT true", "more than an expression"),
        ("1 < 2", "it names no column"),
        ("true, false", "several values"),
        ("true AS x", "several values, or one with a name"),
        ("*", "a star at character 1"),
        ("COLUMNS('.*')", "a star"),
        ("sum(peav.similarity) > 1", "function sum at character 1: not one that may be called"),
        ("row_number() OVER () < 3", "a window over other clips"),
        ("peav.similarity > random()", "function random at character 19"),
        ("now() > '2020'", "function now"),
        ("current_setting('threads') = '1'", "function current_setting"),
        ("main.lower(outcome) = 'x'", "function lower"),
        ("read_text('x') = 'x'", "function read_text"),
        ("list_max(list_filter(peav.vector, lambda x: x > 0)) > 0", "function list_filter"),
        ("json_exists(x -> 'a', '$')", "a lambda"),
        ("outcome COLLATE nocase = 'KEPT'", "a collation"),
        ("peav.similarity > $1", "a parameter"),
        ("#1 = 3", "positional reference"),
        ("outcome::ENUM('kept') = 'kept'", r"type ENUM at character 10: expected one of BIGINT"),
        ("outcome::DATE = outcome", "type DATE"),
        ("length(replace(outcome, 'a', 'aaaa')) > 1", "function replace at character 8"),
        ("repeat(outcome, 9) = 'x'", "function repeat"),
        ("lpad(outcome, 9999, 'x') = 'x'", "function lpad"),
        ("string_split(outcome, '')::VARCHAR = 'x'", "function string_split"),
        ("[outcome]::VARCHAR = 'x'", r"a list at character 1: expected one of constants, in contains or a fun"),
        ("coalesce(['a'], outcome) = 'x'", "a list at character 10"),
        ("list_max([[outcome]]) = ['x']", "a list at character 10"),
        ("list_max([outcome]) = 'x'", "a list at character 10"),
        ("regexp_extract(outcome, '((.*))', ['a', 'b'])::VARCHAR = 'x'", "a list at character 35"),
        ("list_max(DISTINCT peav.vector) > 0", "expected no DISTINCT"),
        ("peav.similarity", r"its values are DOUBLE\. Expected true or false"),
        ("loudness_lufs > 'loud'", "Could not convert string 'loud' to DOUBLE"),
        ("outcome > 3", "Cannot compare values of type VARCHAR and type INTEGER"),
        ("regexp_matches(outcome, '[')", r"missing \]"),
        ("NOT " * 300 + "tags.speech", "Max expression depth limit of 100"),
        ("true OR " * 300 + "true", r"2404 letters\. Expected at most 2000"),
    ],
)  # fmt: skip
def test_what_is_no_expression_of_one_clip_is_refused_with_its_place(text: str, found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        values(text)


def test_every_function_is_a_function_of_its_arguments_alone() -> None:
    """By DuckDB's own catalogue: scalar and of no side effect; a macro is written out in terms of others."""
    import duckdb

    with duckdb.connect() as database:
        rows = database.sql(
            "SELECT function_name, function_type, stability, has_side_effects FROM duckdb_functions() "
            "WHERE schema_name = 'main' OR schema_name = 'pg_catalog'"
        ).fetchall()
    found = {(kind, stability, bool(effects)) for name, kind, stability, effects in rows if name in FUNCTIONS}
    names = {name for name, *_ in rows}
    assert FUNCTIONS - names == set()
    assert found <= {("scalar", "CONSISTENT", False), ("macro", None, False), ("table", None, False)}


def test_what_duckdb_cannot_compute_is_an_error_of_a_setting() -> None:
    with pytest.raises(ConfigError, match="no_such_column"):
        evaluate([Expression('"no_such_column" > 1', ("outcome",))], CLIPS)
    assert values("outcome = 'kept'") == [True, False, True]  # the connection goes on
