"""The facts of a selection's shards -> croissant.json: Croissant 1.1 with its vocabulary of responsible AI, as JSON-LD.

A program that reads Croissant finds each file with its sha256, the members of the tars (sound, frames, JSON), the rows
of clips.parquet and videos.parquet with types and meaning, the splits, what the data was made from, and per licence
what it allows. Vocabularies: https://mlcommons.org/croissant/1.1, https://mlcommons.org/croissant/RAI/1.0, PROV-O for
provenance, ODRL with Creative Commons' terms for use.

Design note: addresses are relative, so that the folder can be moved, copied to a bucket or uploaded as it is. What
nobody has stated, such as who publishes the data, is left out, not made up.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline import VERSION
from pipeline.formatting import format_hours, format_number
from pipeline.reports.attribution import FILE as ATTRIBUTION_FILE
from pipeline.reports.attribution import Attribution
from pipeline.reports.card_facts import Facts
from pipeline.reports.card_figures import Figure
from pipeline.reports.card_tables import CardTable
from pipeline.reports.croissant_records import list_record_sets, present_members
from pipeline.reports.data_card import description, responsible_ai
from pipeline.reports.licenses import License

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "cc": "http://creativecommons.org/ns#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        name: f"cr:{name}"
        for name in (
            *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes"),
            *("extract", "field", "fileProperty", "fileObject", "fileSet", "format", "includes", "isArray"),
            *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "readLines", "recordSet", "references"),
            *("regex", "repeated", "replace", "samplingRate", "sdVersion", "separator", "source", "subField"),
            *("transform", "unArchive", "value"),
        )
    },
}
CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
# What the rights of a video mean, for whoever receives clips of it.
RIGHTS = {
    "train": "the collection says that they may be used for training.",
    "no_train": "their owners refuse their use for training.",
    "unknown": "neither a permission nor a refusal of their use for training was read.",
}


class Stated(NamedTuple):
    """What whoever publishes the data says of it, and no table can."""

    creator: str | None = None
    address: str | None = None
    """Of the page on which it is published."""


NOTHING = Stated()


def make_croissant(
    facts: Facts, tables: Sequence[CardTable], attribution: Attribution, stated: Stated = NOTHING
) -> str:
    """The manifest, as JSON that a web page can hold.

    Args:
        facts: of the shards.
        tables: the files of rows beside them.
        attribution: the file that says whom the videos are owed to.
        stated: what its publisher says.
    """
    record = facts.record
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": facts.selection,
        "conformsTo": CONFORMS_TO,
        "description": description(facts),
        "license": _licenses(facts.licenses),
        "url": stated.address or "README.md",
        "version": f"1.0.0+{record['hash']}",
        "dateCreated": record["started"],
        "datePublished": record["finished"],
        "keywords": ["sound", "video", "audio-visual", "webdataset"],
        "citeAs": _bibtex(facts),
        "usageInfo": [
            *(_usage(each, row) for each, row in zip(facts.licenses, facts.rows["licenses"], strict=True)),
            *(_training(row) for row in facts.rows["rights"]),
        ],
        "prov:wasGeneratedBy": [_activity(stage) for stage in facts.stages],
        "prov:wasDerivedFrom": {"@id": "videos"},
        **{f"rai:{name}": text for name, text in responsible_ai(facts).items()},
        "distribution": _distribution(facts, tables, attribution),
        "recordSet": list_record_sets(facts, tables),
    }
    if stated.creator:
        document["creator"] = {"@type": "sc:Organization", "name": stated.creator}
    # < would end the script element of a page that holds the manifest
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c") + "\n"


def _licenses(licenses: Sequence[License]) -> list[Any]:
    """An address for each licence that has one, and the name of each other."""
    return [each.address or {"@type": "sc:CreativeWork", "name": each.name} for each in licenses]


def _usage(each: License, row: dict[str, Any]) -> dict[str, Any]:
    """What a licence allows of the clips that have it: its terms where they are known, else that they are not."""
    amount = f"{_text(row['clips'])} clips of {_text(row['videos'])} videos, {format_hours(row['hours'].value)}"
    found: dict[str, Any] = {"@type": ["sc:CreativeWork", "odrl:Offer"], "name": each.name}
    found |= {"url": each.address} if each.address else {}
    if each.permits:
        found["description"] = f"Terms of {amount}, by the licence that the collection states for them."
        found["odrl:permission"] = {
            "@type": "odrl:Permission",
            "odrl:action": [{"@id": term} for term in each.permits],
            **({"odrl:duty": [_duty(term) for term in each.requires]} if each.requires else {}),
        }
        if each.forbids:
            actions = [{"@id": term} for term in each.forbids]
            found["odrl:prohibition"] = {"@type": "odrl:Prohibition", "odrl:action": actions}
    else:
        found["description"] = f"{amount}: terms not known to the program that wrote this. Ask before you use them."
    return found


def _training(row: dict[str, Any]) -> dict[str, Any]:
    """What is known of the permission to train on some of the clips."""
    amount = f"{_text(row['clips'])} clips of {_text(row['videos'])} videos, {format_hours(row['hours'].value)}"
    return {
        "@type": "sc:CreativeWork",
        "name": f"use for training: {row['rights']}",
        "description": f"{amount}: {RIGHTS[row['rights']]}",
    }


def _duty(term: str) -> dict[str, Any]:
    return {"@type": "odrl:Duty", "odrl:action": {"@id": term}}


def _activity(stage: dict[str, Any]) -> dict[str, Any]:
    """A stage that the shards were made by: when, from what, with which settings and versions."""
    return {
        "@type": "prov:Activity",
        "@id": f"stages/{stage['stage']}",
        "name": stage["stage"],
        "identifier": stage["hash"],
        "prov:startedAtTime": stage["started"],
        **({"prov:endedAtTime": stage["finished"]} if "finished" in stage else {}),
        "prov:used": [{"@id": f"stages/{name}"} for name in stage["inputs"] if " " not in name],
        "prov:wasAssociatedWith": {
            "@type": "prov:SoftwareAgent",
            "name": "Earshot",
            "softwareVersion": stage["code_version"],
        },
        "description": json.dumps({"settings": stage["settings"], "libraries": stage["libraries"]}, sort_keys=True),
    }


def _distribution(facts: Facts, tables: Sequence[CardTable], attribution: Attribution) -> list[dict[str, Any]]:
    """Every file, then the sets of members of the tars."""
    found: list[dict[str, Any]] = [
        _file(
            shard.name, shard.size_bytes.value, "application/x-tar", shard.sha256, f"clips of the split {shard.split}"
        )
        for shard in facts.shards
    ]
    for table in tables:
        what = f"a row for each of {table.num_rows} {table.name}"
        found.append(_file(table.file, table.size_bytes, "application/x-parquet", table.sha256, what))
    what = f"author, licence, source and changes of each of {attribution.num_rows} videos"
    found.append(_file(ATTRIBUTION_FILE, attribution.size_bytes, "text/csv", attribution.sha256, what))
    tars = [{"@id": shard.name} for shard in facts.shards]
    for name, glob, kind, what, _ in present_members(facts):
        found.append(
            {
                "@type": "cr:FileSet",
                "@id": f"{name}-files",
                "name": f"{name}-files",
                "description": what,
                "containedIn": tars,
                "encodingFormat": kind,
                "includes": glob,
            }
        )
    return found


def _file(name: str, size_bytes: int | float, kind: str, sha256: str, what: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": what,
        "contentUrl": name,
        "contentSize": f"{size_bytes} B",
        "encodingFormat": kind,
        "sha256": sha256,
    }


def _bibtex(facts: Facts) -> str:
    record = facts.record
    key = re.sub(r"[^a-z0-9]", "_", facts.selection)
    return (
        f"@misc{{{key}_{record['hash']}, title={{{facts.selection}}}, year={{{record['finished'][:4]}}}, "
        f"note={{clips materialized as {record['hash']} by Earshot {VERSION}}}}}"
    )


def _text(figure: Figure) -> str:
    return format_number(figure.value)
