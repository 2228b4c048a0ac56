"""Tables without some videos: rows about them are removed, and cells of other rows that mention them are rewritten.

A row is about a video where a column whose name ends in video_id or clip_id, or a list of such ids, names it or its
clip, or a column `uri` has its address; a row of an evaluation, where its example is made of such a clip. All other
columns of texts are searched for mentions. Which table it is does not matter, but for near-duplicates: there a row
names other videos of its group, and stays without them.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.takedown.names import Names

NO_GROUPS: Mapping[str, str | None] = MappingProxyType({})
OF_GROUPS = ("group_id", "bridged_groups", "linked_video_ids", "like_video_id")
BLOCK_BYTES = 512  # of a tar


def rows_about(table: pa.Table, names: Names, examples: Collection[str] = ()) -> pa.Array:
    """[n] whether each row is about one of the videos; `examples` are evaluation examples that are made of them."""
    is_about = pa.repeat(False, len(table))
    for name in set(table.column_names) - _of_groups(table):
        found = _matches(name, table[name].combine_chunks(), names, examples)
        if found is not None:
            is_about = pc.or_(is_about, pc.fill_null(found, False))
    return is_about


def mentions(table: pa.Table, names: Names, examples: Collection[str] = ()) -> bool:
    """Whether a row is about one of the videos, or a cell of another row mentions one."""
    return pc.any(rows_about(table, names, examples)).as_py() or any(
        _mentions(table[name].combine_chunks(), names, name in _of_groups(table)) for name in _others(table, names)
    )


def without(
    table: pa.Table, names: Names, examples: Collection[str] = (), groups: Mapping[str, str | None] = NO_GROUPS
) -> pa.Table:
    """The table without rows about the videos and mentions of them.

    Args:
        table: all columns of a part.
        groups: the new name of each group of near-duplicates that is named after one of them; None for no group.
    """
    schema = table.schema
    kept, of_groups = with_places(table, rows_about(table, names, examples)), _of_groups(table)
    for name in _others(kept, names):
        column = kept[name].combine_chunks()
        if _mentions(column, names, name in of_groups):
            changed = _regrouped(name, kept, names, groups) if name in of_groups else _replaced(column, names)
            kept = kept.set_column(kept.schema.get_field_index(name), schema.field(name), changed)
            if name in of_groups and name == "like_video_id" and "shared_fraction" in kept.column_names:
                kept = _share_all(kept, column, schema)
    return pa.Table.from_arrays([kept[name] for name in schema.names], schema=_as_declared(schema))


def with_places(table: pa.Table, is_removed: pa.Array) -> pa.Table:
    """The rows that stay, with the places that they have in their tar once the samples of the others are cut out."""
    kept = table.filter(pc.invert(is_removed))
    if "tar_offset" not in table.column_names or len(kept) == len(table):
        return kept
    gone = table.filter(pc.and_(is_removed, pc.is_valid(table["tar_offset"])))
    padded = [-(-length // BLOCK_BYTES) * BLOCK_BYTES for length in gone["tar_bytes"].to_pylist()]
    cuts = sorted(set(zip(gone["tar_offset"].to_pylist(), padded, strict=True)))
    moved: dict[int, int] = {}
    before, cut = 0, 0
    for offset in sorted({offset for offset in kept["tar_offset"].to_pylist() if offset is not None}):
        while cut < len(cuts) and cuts[cut][0] < offset:
            before += cuts[cut][1]
            cut += 1
        moved[offset] = offset - before
    places = [None if offset is None else moved[offset] for offset in kept["tar_offset"].to_pylist()]
    field = table.schema.field("tar_offset")
    return kept.set_column(table.schema.get_field_index("tar_offset"), field, pa.array(places, field.type))


def new_group_names(tables: Collection[pa.Table], names: Names) -> dict[str, str | None]:
    """The new name of each group that is named after one of the videos: the smallest id of those that stay, if any.

    Args:
        tables: video_id and the columns OF_GROUPS of every part of every selection.
    """
    members: dict[str, list[str]] = {}
    for table in tables:
        for row in table.select(["video_id", "group_id", "bridged_groups"]).to_pylist():
            for group in {row["group_id"], *(row["bridged_groups"] or ())} & names.video_ids:
                of_group = members.setdefault(group, [])
                if row["video_id"] not in names.video_ids and row["group_id"] == group:
                    of_group.append(row["video_id"])
    return {group: min(of_group, default=None) for group, of_group in sorted(members.items())}


def _as_declared(schema: pa.Schema) -> pa.Schema:
    """The schema as it was written: the items of lists, which Parquet names `element`, have Arrow's own name again."""
    fields = [pa.field(item.name, _kind(item.type), item.nullable, item.metadata) for item in schema]
    return pa.schema(fields, metadata=schema.metadata)


def _kind(kind: pa.DataType) -> pa.DataType:
    return pa.list_(_kind(kind.value_type)) if pa.types.is_list(kind) else kind


def _matcher(name: str, kind: pa.DataType, names: Names) -> Callable[[pa.Array], pa.Array] | None:
    """What says of a column's values which name one of the videos; None for a column of texts or other things."""
    is_text, is_list = _is_text(kind), _is_list(kind) and _is_text(kind.value_type)
    if not (is_text or is_list):
        return None
    if name.endswith(("clip_id", "clip_ids")[: 1 + is_list]):
        return names.are_clips
    if name.endswith(("video_id", "video_ids")[: 1 + is_list]):
        return names.are_videos
    return names.are_addresses if name == "uri" else None


def _matches(name: str, column: pa.Array, names: Names, examples: Collection[str]) -> pa.Array | None:
    """[n] which values of a column say that their row is about one of the videos; None for a column of other things."""
    if name == "example_id" and examples and _is_text(column.type):
        return pc.is_in(_plain(column), pa.array(sorted(examples), pa.string()))
    matcher = _matcher(name, column.type, names)
    if matcher is None or _is_text(column.type):
        return matcher and matcher(_plain(column))
    hits = matcher(_plain(column.flatten())).to_pylist()
    parents = pc.list_parent_indices(column).to_pylist()
    hit = {parent for parent, is_theirs in zip(parents, hits, strict=True) if is_theirs}
    return pa.array([row in hit for row in range(len(column))], pa.bool_())


def _others(table: pa.Table, names: Names) -> list[str]:
    """Columns that hold texts, whose values are no ids by `_matches`."""
    of_groups = _of_groups(table)
    return [
        field.name
        for field in table.schema
        if field.name in of_groups or (has_text(field.type) and _matcher(field.name, field.type, names) is None)
    ]


def _of_groups(table: pa.Table) -> frozenset[str]:
    """The columns of a table of near-duplicates that name other videos; none in another, such as an imported one."""
    is_theirs = {"video_id", "group_id", "linked_video_ids"} <= set(table.column_names)
    return frozenset(OF_GROUPS) & set(table.column_names) if is_theirs else frozenset()


def has_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts, also within lists, structs and maps."""
    return _is_text(kind) or any(has_text(kind.field(number).type) for number in range(kind.num_fields))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _plain(column: pa.Array) -> pa.Array:
    """A column of texts as plain strings, however they are stored."""
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _mentions(column: pa.Array, names: Names, are_groups: bool = False) -> bool:
    if are_groups:
        flat = column.flatten() if _is_list(column.type) else column
        return pc.any(names.are_videos(_plain(flat))).as_py() or False
    if _is_text(column.type):
        return any(names.are_in(text) for text in _plain(column).unique().to_pylist() if text)
    if _is_list(column.type):
        return _mentions(column.flatten(), names)
    if pa.types.is_map(column.type):
        return _mentions(column.keys, names) or _mentions(column.items, names)
    if pa.types.is_struct(column.type):
        return any(_mentions(child, names) for child in column.flatten())
    return False


def _replaced(column: pa.Array, names: Names) -> pa.Array:
    """The column with REPLACED in place of each mention."""
    return pa.array([_each(value, names.replaced_in) for value in column.to_pylist()], column.type)


def _each(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):  # a tuple is an entry of a map
        return type(value)(_each(item, change) for item in value)
    return {name: _each(item, change) for name, item in value.items()} if isinstance(value, dict) else value


def _regrouped(name: str, table: pa.Table, names: Names, groups: Mapping[str, str | None]) -> pa.Array:
    """A column of OF_GROUPS without the videos; who was like one of them alone is like itself."""
    gone, rows = names.video_ids, table.select(["video_id", name]).to_pylist()
    values: list[Any] = []
    for row in rows:
        value = row[name]
        if name == "linked_video_ids":
            value = [other for other in value if other not in gone]
        elif name == "bridged_groups":
            value = sorted({groups.get(group, group) for group in value or ()} - gone - {None}) or None
        elif value in gone:
            value = groups.get(value) or row["video_id"] if name == "group_id" else row["video_id"]
        values.append(value)
    return pa.array(values, table.schema.field(name).type)


def _share_all(table: pa.Table, before: pa.Array, schema: pa.Schema) -> pa.Table:
    """The table with a shared fraction of 1 where a row has become like itself."""
    is_other = pc.not_equal(before, table["like_video_id"].combine_chunks())
    field = schema.field("shared_fraction")
    shares = pc.if_else(is_other, pa.scalar(1.0, field.type), table["shared_fraction"].combine_chunks())
    return table.set_column(schema.get_field_index("shared_fraction"), field, shares)
