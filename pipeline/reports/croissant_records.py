"""The record sets of a Croissant manifest: what a program finds in the files beside it, field by field."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipeline.reports.card_facts import Facts
from pipeline.reports.card_tables import CardTable
from schemas.videos import SPLITS

SPLIT_CLASSES = dict(zip(SPLITS, ("cr:TrainingSplit", "cr:ValidationSplit", "cr:TestSplit"), strict=True))
DATA_TYPES = {
    pa.string(): "sc:Text",
    pa.float64(): "cr:Float64",
    pa.float32(): "cr:Float32",
    pa.int64(): "cr:Int64",
    pa.int32(): "cr:Int32",
}
# Members of a clip: name of their set, glob, type, what they are, type of the field with their content.
MEMBERS = (
    ("sounds", "*.flac", "audio/flac", "the sound of each clip: 16-bit mono FLAC", "sc:AudioObject"),
    (
        "frames",
        "*.jpg",
        "image/jpeg",
        "the frames of each clip, numbered from 0 in the order of time",
        "sc:ImageObject",
    ),
    ("facts", "*.json", "application/json", "what is known of each clip, as a JSON object", "sc:Text"),
)
CLIP_OF_FILE = r"^(.+?)\.(?:[0-9]+\.)?[a-z]+$"
FRAME_OF_FILE = r"^.+?\.([0-9]+)\.jpg$"


def present_members(facts: Facts) -> list[tuple[str, str, str, str, str]]:
    """The members that clips have: there may be no frames."""
    return [each for each in MEMBERS if each[0] != "frames" or facts.only("lengths")["most_frames"].value]


def list_record_sets(facts: Facts, tables: Sequence[CardTable]) -> list[dict[str, Any]]:
    """The splits, each file of rows, and each kind of members."""
    members = (_members(facts, *member) for member in present_members(facts))
    return [_splits(facts), *map(_table, tables), *members]


def _splits(facts: Facts) -> dict[str, Any]:
    names = [row["split"] for row in facts.rows["splits"]]
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": ["sc:URL", "cr:Split"]},
        ],
        "data": [{"splits/name": name, "splits/url": SPLIT_CLASSES[name]} for name in names],
    }


def _table(table: CardTable) -> dict[str, Any]:
    """The record set of a Parquet file; `part`, `video_id` and `split` lead to others."""
    name = table.name
    references = {"split": "splits/name", "video_id": "videos/video_id"} if name == "clips" else {}
    fields = []
    for item in table.schema:
        unit = (item.metadata.get(b"unit") or b"").decode()
        field = {
            "@type": "cr:Field",
            "@id": f"{name}/{item.name}",
            "name": item.name,
            "description": item.metadata[b"doc"].decode() + (f", in {unit}" if unit else ""),
            "dataType": [DATA_TYPES[item.type], *(["cr:Label"] if item.name == "label" else [])],
            "source": {"fileObject": {"@id": table.file}, "extract": {"column": item.name}},
        }
        if item.name in references:
            field["references"] = {"field": {"@id": references[item.name]}}
        if item.name == "uri":
            field["equivalentProperty"] = "prov:wasDerivedFrom"
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"a row for each of {table.num_rows} {name}",
        "key": {"@id": f"{name}/{table.schema.names[0]}"},
        "field": fields,
    }


def _members(facts: Facts, name: str, glob: str, kind: str, what: str, content: str) -> dict[str, Any]:
    """The record set of one kind of members: their clip, their number if they are several, their content."""
    files = {"fileSet": {"@id": f"{name}-files"}}
    from_name = {**files, "extract": {"fileProperty": "filename"}}
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/clip_id",
            "name": "clip_id",
            "description": "the clip, as in `clips`",
            "dataType": "sc:Text",
            "source": from_name | {"transform": {"regex": CLIP_OF_FILE}},
        },
        {
            "@type": "cr:Field",
            "@id": f"{name}/content",
            "name": "content",
            "description": what,
            "dataType": content,
            "source": {**files, "extract": {"fileProperty": "content"}},
        },
    ]
    if name == "sounds":
        fields[1]["samplingRate"] = facts.clip_spec["sample_rate_hz"]
    if name == "frames":
        number = {
            "@type": "cr:Field",
            "@id": "frames/number",
            "name": "number",
            "description": "of the frame within its clip, from 0 on",
            "dataType": "sc:Integer",
            "source": from_name | {"transform": {"regex": FRAME_OF_FILE}},
        }
        fields.insert(1, number)
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": what, "field": fields}
