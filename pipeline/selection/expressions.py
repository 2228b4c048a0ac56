"""Expressions that users write over columns of clips -> SQL that is safe to run, and its value for each clip.

DuckDB parses the text. What runs is written anew from the tree that it found, and only if every node of that tree is of
NODES, every function of FUNCTIONS and every name one of the known columns. So an expression sees one clip at a time,
reads no file and no setting, and gives the same value whenever it is computed.

Design note: a list of what is allowed, because DuckDB has a thousand functions and each version brings more. Nothing
of it makes a text many times as long: nested five times, in 400 letters, that is gigabytes, which memory_limit does not
bound. So there is no replace, repeat, lpad or string_split, and a list is only written of constants and for functions
of lists: one of texts, cast to a text, escapes them anew.
"""

import atexit
import functools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError, did_you_mean

PREFIX = "SELECT "
MAX_LETTERS = 2000  # of an expression
MAX_DEPTH = 100  # of nested expressions
# DuckDB's classes of nodes, with the types of those of which not every one is allowed.
NODES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("BETWEEN", "CASE", "CAST", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION"), ()),
    "OPERATOR": (
        *("ARRAY_EXTRACT", "COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_COALESCE", "OPERATOR_IS_NOT_NULL"),
        *("OPERATOR_IS_NULL", "OPERATOR_NOT", "OPERATOR_TRY"),
    ),
    "TYPE": (),
}
TYPES = ("BIGINT", "BOOLEAN", "DOUBLE", "FLOAT", "INTEGER", "VARCHAR")  # that a value may be cast to
FUNCTION_NAMES = """
    + - * / // % ** ^ || ~~ !~~ ~~* !~~* ~~~ ->>
    abs cbrt ceil ceiling exp floor greatest isfinite isinf isnan least ln log log10 log2 pow power round sign sqrt
    trunc
    concat contains ends_with left len length lower ltrim regexp_extract regexp_full_match regexp_matches right
    rtrim split_part starts_with strip_accents substr substring trim upper
    if json_exists json_extract_string json_value nullif
    list_avg list_contains list_cosine_distance list_cosine_similarity list_count list_distance list_has_all
    list_has_any list_inner_product list_max list_median list_min list_position list_sum list_value
"""
FUNCTIONS = frozenset(FUNCTION_NAMES.split())
LIST = "list_value"  # what [1, 2] is
MAX_MEMORY = "1GB"  # of clips that are 64 MB together, or a part (`filtering.BYTES_AT_ONCE`)
# What is said of the classes of nodes that a user is most likely to try.
REFUSED = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window over other clips",
    "STAR": "a star",
    "LAMBDA": "a lambda",
    "PARAMETER": "a parameter",
    "COLLATE": "a collation",
}
NO_NUMBER = 2**64 - 1  # the location of a node that has none


class Expression(NamedTuple):
    """One that may be run."""

    sql: str
    """In DuckDB's own spelling; each column is one quoted name, such as "peav.similarity"."""
    columns: tuple[str, ...]
    """Names of the columns, each once, in the order in which they occur."""


def read_expression(text: str, known: Collection[str]) -> Expression:
    """The expression of a text.

    Args:
        known: names of columns: `loudness_lufs`, and `peav.similarity` of another table.
    Raises:
        ConfigError: it is none, or not one that may be run: what was found, where, and what was expected.
    """
    if len(text) > MAX_LETTERS:
        raise ConfigError(f"{len(text)} letters. Expected at most {MAX_LETTERS}.")
    statement = _parse(text)
    (root,) = statement["node"]["select_list"]
    columns: list[str] = []
    for node in _nodes(root):
        if node["class"] == "COLUMN_REF":
            columns.append(_column(node, text, known))
            node["column_names"] = columns[-1:]
        else:
            _check_node(node, text)
    _check_lists(root, text)
    if not columns:
        raise ConfigError("it names no column. Expected at least one.")
    sql = _ask("SELECT json_deserialize_sql(?::JSON)", json.dumps({"error": False, "statements": [statement]}))
    return Expression(sql.removeprefix(PREFIX), tuple(dict.fromkeys(columns)))


def check_truth(expression: Expression, schema: pa.Schema) -> None:
    """Refuse an expression whose values are not true or false, or that cannot be computed of columns of these types.

    Raises:
        ConfigError: what DuckDB found wrong.
    """
    database = _database()
    database.register("clips", pa.table([pa.nulls(1, item.type) for item in schema], schema=schema))
    try:
        relation = database.sql(f"SELECT {expression.sql} FROM clips")
        relation.fetchall()  # constants are computed only here
        kind = str(relation.types[0])
    except duckdb.Error as error:
        raise ConfigError(f"{str(error).splitlines()[0]}.") from error
    finally:
        database.unregister("clips")
    if kind != "BOOLEAN":
        raise ConfigError(f"its values are {kind}. Expected true or false, such as of a comparison.")


def evaluate(expressions: Sequence[Expression], clips: pa.Table) -> list[pa.ChunkedArray]:
    """[n] true, false or null for each expression; null also where a clip's value cannot be computed, such as 'a'::INT.

    Args:
        expressions: which `check_truth` accepts.
        clips: with the columns that they name.
    Raises:
        ConfigError: DuckDB cannot compute them of these clips, such as for want of memory.
    """
    database = _database()
    columns = dict.fromkeys(column for each in expressions for column in each.columns)
    database.register("clips", clips.select(list(columns)))
    try:
        values = ", ".join(f"TRY({each.sql}) AS r{number}" for number, each in enumerate(expressions))
        found: dict[str, Any] = database.execute(f"SELECT {values} FROM clips").fetchnumpy()  # Arrow: 0.8 ms more
        arrays = [pa.array(np.ma.getdata(each), mask=np.ma.getmaskarray(each)) for each in found.values()]
        return [pa.chunked_array([each]) for each in arrays]
    except duckdb.Error as error:
        raise ConfigError(f"{str(error).splitlines()[0]}.") from error
    finally:
        database.unregister("clips")


@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    """A database without tables that opens no file. One for each process: to make one takes as long as five parts."""
    off = ("autoinstall_known_extensions", "autoload_known_extensions", "python_enable_replacements")
    config: dict[str, bool | str | int | float | list[str]] = {**dict.fromkeys(off, False), "threads": 1}
    database = duckdb.connect(config=config)
    database.execute("PRAGMA disable_optimizer")  # a third of the time for a part, and a part has few clips
    for setting in (
        f"max_expression_depth = {MAX_DEPTH}",
        f"memory_limit = '{MAX_MEMORY}'",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        database.execute(f"SET {setting}")
    atexit.register(_database.cache_clear)  # one that outlives the interpreter is reported as a leak
    return database


def _ask(sql: str, value: str) -> Any:
    ((answer,),) = _database().execute(sql, [value]).fetchall()
    return answer


@functools.cache
def _plain() -> dict[str, Any]:
    """The SELECT of an expression and nothing else, as DuckDB's parser describes it."""
    return json.loads(_ask("SELECT json_serialize_sql(?)", f"{PREFIX}1"))["statements"][0]


def _parse(text: str) -> dict[str, Any]:
    """DuckDB's tree of the SELECT of the text, which is one expression."""
    found = json.loads(_ask("SELECT json_serialize_sql(?)", PREFIX + text))
    if found["error"]:
        place = _place(int(found["position"]), text) if "position" in found else ""
        raise ConfigError(f"{found['error_message']}{place}. Expected an expression of DuckDB's SQL.")
    (statement, *others), plain = found["statements"], _plain()
    node = statement["node"]
    is_select = node["type"] == plain["node"]["type"]
    if others or not is_select or node | {"select_list": []} != plain["node"] | {"select_list": []}:
        raise ConfigError("more than an expression. Expected no other clause or statement.")
    if len(node["select_list"]) > 1 or node["select_list"][0]["alias"]:
        raise ConfigError("several values, or one with a name of its own. Expected one expression.")
    return statement


def _nodes(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node below one, and itself, in the order of the text."""
    waiting: list[Any] = [root]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if "class" in found:
                yield found
            waiting += reversed(list(found.values()))
        elif isinstance(found, list):
            waiting += reversed(found)


def _check_node(node: dict[str, Any], text: str) -> None:
    kind, place = node["class"], _place(node.get("query_location", NO_NUMBER), text)
    if kind == "FUNCTION":
        _check_function(node, place)
    elif kind == "TYPE":
        if node["type_name"].upper() not in TYPES or node["children"] or node["schema"]:
            raise ConfigError(f"type {node['type_name']}{place}: expected one of {', '.join(TYPES)}.")
    elif kind not in NODES or (NODES[kind] and node["type"] not in NODES[kind]):
        found = REFUSED.get(kind, node["type"].lower().replace("_", " "))
        raise ConfigError(f"{found}{place}: expected columns, comparisons, arithmetic and functions of one clip.")


def _check_function(node: dict[str, Any], place: str) -> None:
    name = node["function_name"].lower()
    if name not in FUNCTIONS or node["schema"] or node["catalog"]:
        near = did_you_mean(name, [each for each in FUNCTIONS if each.isidentifier()])
        names = ", ".join(sorted(each for each in FUNCTIONS if each.isidentifier()))
        raise ConfigError(f"function {name}{place}: not one that may be called.{near} Expected one of {names}.")
    if node["distinct"] or node["filter"] or node["order_bys"]["orders"]:
        raise ConfigError(f"function {name}{place}: expected no DISTINCT, FILTER or ORDER BY.")


def _check_lists(root: dict[str, Any], text: str) -> None:
    """Refuse lists that are written of other than constants, or elsewhere than as arguments of functions of lists."""
    taken: set[int] = set()
    for node in _nodes(root):
        name = node.get("function_name", "").lower()
        arguments = [each["expression"] for each in node["arguments"]] if name else []
        if name.startswith("list_") or name == "contains":
            taken |= set(map(id, arguments))
        if name == LIST and (id(node) not in taken or any(each["class"] != "CONSTANT" for each in arguments)):
            place = _place(node["query_location"], text)
            raise ConfigError(f"a list{place}: expected one of constants, in contains or a function list_*.")


def _column(node: dict[str, Any], text: str, known: Collection[str]) -> str:
    """The name of a column as it is known."""
    name = ".".join(node["column_names"]).lower()
    if name in known:
        return name
    table, place = name.rpartition(".")[0], _place(node["query_location"], text)
    there = sorted(each for each in known if each.rpartition(".")[0] == table)
    tables = sorted({each.rpartition(".")[0] for each in known} - {""})
    what = f"{table or 'clips'} has {', '.join(there)}" if there else f"tables are {', '.join(tables)}"
    others = f"; other tables are {', '.join(tables)}" if there and not table else ""
    message = f"column {name}{place}: there is none.{did_you_mean(name, known)} Here {what}{others}."
    raise ConfigError(message, "no column")


def _place(location: int, text: str) -> str:
    """` at character 7`, from a location in bytes of the SELECT; "" for a node that has none."""
    before = text.encode()[: location - len(PREFIX)]
    return f" at character {len(before.decode(errors='ignore')) + 1}" if location < NO_NUMBER else ""
