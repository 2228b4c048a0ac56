"""A root with something of every kind made of a small world's clips, without a cluster; and a scan of all its bytes.

The scan shares no code with the one of `pipeline.takedown`: it looks for names as plain text in whatever a file holds.
"""

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.console.card_files import write_card
from pipeline.clip_specs import ClipSpec
from pipeline.clips.tars import TarWriter
from pipeline.evaluation.mixing import MixingConfig
from pipeline.features.feature_samples import FeatureClip, encode
from pipeline.masks.mask_parts import Mask, write_masks
from pipeline.outside.imported_types import schema_of
from pipeline.storage import files, s3_clients
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.lineage import list_stages
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.duplicates import DUPLICATES
from schemas.features import FEATURES
from schemas.fields import from_rows
from schemas.labels import LABELS
from schemas.mixtures import MIXTURES
from schemas.reports import EXAMPLES, OPERATING_POINTS, SOURCES, SUMMARY
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.spans import SPANS
from schemas.videos import COLLECTION, VIDEOS
from tests.helpers.selections import select_and_mix
from tests.helpers.shuffled_shards import make_shards

PEAV = {"similarity": "DOUBLE", "note": "VARCHAR"}
DEFAULTS: dict[Any, Any] = {"string": "x", "int32": 0, "int64": 0, "double": 0.0, "float": 0.0, "bool": False}


def row(schema: pa.Schema, **values: Any) -> dict[str, Any]:
    """A row of a table with these values; zeros and null for the rest."""
    filled: dict[str, Any] = {}
    for field in schema:
        default = [] if pa.types.is_list(field.type) else DEFAULTS.get(str(field.type))
        filled[field.name] = values.get(field.name, None if field.nullable else default)
    return filled


def make_root(cut: Workspace, spec: ClipSpec, folder: Path) -> Workspace:
    """A copy of a workspace of clips with a selection, shards and their card, frozen sets and an evaluation, models,
    scores, labels, a report, and what `add_kinds` adds."""
    workspace = Workspace(str(folder))
    shutil.copytree(cut.root, folder)
    make_shards(workspace, spec)
    write_card(workspace, "s", "Someone", None, True)
    select_and_mix(workspace, "m", MixingConfig(max_clips_per_video=2, moms_per_clip=2, examples_per_part=4))
    vector = [1.0, 0.0]
    for part in workspace.parts(CLIPS_FOLDER):
        names = _clip_names(workspace, part)
        scored = [row(SCORES, **name, score=0.5, audio_embedding=vector, visual_embedding=vector) for name in names]
        workspace.commit("scores/c", part, from_rows(scored, SCORES, part), SCORES)
        labelled = [row(LABELS, **name, label="on_screen") for name in names[::2]]
        workspace.commit("labels/base", part, from_rows(labelled, LABELS, part), LABELS)
    _evaluate(workspace)
    records = {"scores/c": [CLIPS_FOLDER], "labels/base": [CLIPS_FOLDER], "mixtures/m": ["selections/s"]}
    _begin(workspace, records | {"models/m": ["selections/s"], "reports/m/m": ["mixtures/m", "models/m"]})
    add_kinds(workspace)
    _begin(workspace, {"models/half": ["selections/s"]}, is_finished=False)
    for model in ("m", "half"):
        files.commit_bytes(workspace.uri("models", model, "checkpoint.pt"), b"weights and memory")
    files.commit_bytes(workspace.uri("models", "m", "model.pt"), b"weights")
    ids = workspace.read_all(COLLECTION_FOLDER, COLLECTION, ["video_id"])["video_id"].to_pylist()
    represented = {"parts": workspace.parts(CLIPS_FOLDER), "represented": ids}
    files.commit_bytes(workspace.record_uri("selections/s", "represented"), json.dumps(represented, indent=1).encode())
    files.commit_bytes(workspace.uri("report.html"), f"<p>{ids[0]}</p>".encode())
    return workspace


def add_kinds(workspace: Workspace) -> None:
    """Spans, near-duplicates, imported columns, features, masks and a log about every video or clip of a workspace."""
    (selection, *_) = workspace.names("selections")
    decided = workspace.read_all(f"selections/{selection}", SELECTIONS, ["video_id", "split"]).to_pylist()
    splits = {found["video_id"]: found["split"] for found in decided}
    for part in workspace.parts(CLIPS_FOLDER):
        names = _clip_names(workspace, part)
        ids = sorted({name["video_id"] for name in names})
        twins = [name for name in ids if splits[name] == splits[ids[0]]][:3]
        group = {"group_id": twins[0], "split": splits[twins[0]], "can_represent": True, "linked_video_ids": twins}
        own = schema_of("peav", PEAV)
        tables: list[tuple[str, pa.Schema, list[dict[str, Any]]]] = [
            ("spans", SPANS, [row(SPANS, video_id=name, end_s=1.0) for name in ids]),
            ("duplicates/s", DUPLICATES, [row(DUPLICATES, video_id=x, like_video_id=twins[0], **group) for x in twins]),
            ("imported/peav", own, [row(own, clip_id=name["clip_id"], note=f"near {ids[0]}") for name in names]),
            ("features/base/c", FEATURES, _write_features(workspace, part, names)),
        ]
        for partition, schema, rows in tables:
            workspace.commit(partition, part, from_rows(rows, schema, part), schema)
        square = np.eye(8, dtype=bool)
        masks = [Mask(video_id=name, time_s=time_s, source="a", pixels=square) for name in ids for time_s in (0, 1)]
        write_masks(workspace, part, masks)
    of_clips = {stage: [CLIPS_FOLDER] for stage in ("spans", "features/base/c", "imported/peav")}
    _begin(workspace, {"masks": [], **of_clips})
    _begin(workspace, {"duplicates/s": [stage for stage in list_stages(workspace) if stage.startswith("scores/")]})
    videos = workspace.read_all(COLLECTION_FOLDER, COLLECTION, ["video_id", "uri"]).to_pylist()
    log = "".join(f"{video['uri']} is odd\n{video['video_id']}_00001000 is damaged\n" for video in videos)
    files.commit_bytes(workspace.uri("logs", "1.log"), f"earshot run\n{log}".encode())


def _clip_names(workspace: Workspace, part: str) -> list[dict[str, str]]:
    return workspace.read(CLIPS_FOLDER, part, CLIPS, ["clip_id", "video_id"]).to_pylist()


def _begin(workspace: Workspace, inputs: dict[str, list[str]], is_finished: bool = True) -> None:
    """The records of stages that were made from others."""
    for stage, sources in inputs.items():
        settings: dict[str, Any] = {"selection": "s", "splitting": {}} if stage.startswith("models/") else {}
        settings |= {"spec": "base", "columns": PEAV} if stage == "imported/peav" else {}
        workspace.begin(stage, settings, {name: workspace.stage(name)["hash"] for name in sources})
        if is_finished:
            workspace.finish(stage, step=7)


def _write_features(workspace: Workspace, part: str, names: list[dict[str, str]]) -> list[dict[str, Any]]:
    rows, features = [], np.ones((1, 1, 2), np.float32)
    with files.building(workspace.tar_uri("features/base/c", part)) as path, TarWriter(path) as tar:
        for name in names:
            facts = {**name, "start_s": 0.0}
            offset, length = tar.add(
                name["clip_id"], encode(FeatureClip(name["clip_id"], features, features[0], facts))
            )
            rows.append(row(FEATURES, **name, tar_offset=offset, tar_bytes=length))
    return rows


def _evaluate(workspace: Workspace) -> None:
    for part in workspace.parts("mixtures/m"):
        examples = workspace.read("mixtures/m", part, MIXTURES).to_pylist()
        named = [{name: example[name] for name in ("example_id", "eval_set")} for example in examples]
        videos = [example["first_clip_id"].rpartition("_")[0] for example in examples]
        rows = [row(EXAMPLES, **name, video_id=video) for name, video in zip(named, videos, strict=True)]
        workspace.commit("examples/m/m", part, from_rows(rows, EXAMPLES, part), EXAMPLES)
        rows = [row(SOURCES, **name, source=number) for name in named for number in (0, 1)]
        workspace.commit("sources/m/m", part, from_rows(rows, SOURCES, part), SOURCES)
    for table, schema in (("summary", SUMMARY), ("operating_points", OPERATING_POINTS)):
        workspace.commit(f"{table}/m/m", "00000", from_rows([row(schema)], schema, "r"), schema)


def make_copy(workspace: Workspace, video_id: str, copy_id: str) -> None:
    """Give another video the content hash of a video: a copy of its bytes under another name."""
    hashes = {
        found["video_id"]: found["content_hash"]
        for found in workspace.read_all(VIDEOS_FOLDER, VIDEOS, ["video_id", "content_hash"]).to_pylist()
    }
    for part in workspace.parts(VIDEOS_FOLDER):
        rows = workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()
        for found in rows:
            if found["video_id"] == copy_id:
                found["content_hash"] = hashes[video_id]
        workspace.commit(VIDEOS_FOLDER, part, from_rows(rows, VIDEOS, part), VIDEOS)


def all_files(root: str) -> dict[str, bytes]:
    """Every file below a root, hidden and half written ones too, by its path."""
    if root.startswith("s3://"):
        bucket, _, prefix = root.removeprefix("s3://").partition("/")
        client = s3_clients.client(bucket)
        keys = [
            item["Key"]
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
            for item in page.get("Contents", ())
        ]
        return {
            key.removeprefix(f"{prefix}/"): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys
        }
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(Path(root).rglob("*")) if path.is_file()}


def texts_in(path: str, data: bytes) -> list[str]:
    """All that a file says, in plain text: rows of a table, names and content of a tar's members, else its bytes."""
    if path.endswith(".parquet"):
        table = pq.read_table(pa.BufferReader(data), partitioning=None)
        return [repr(table.to_pylist()), repr(table.schema.metadata)]
    if path.endswith(".tar"):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = [(member.name, tar.extractfile(member)) for member in tar]
            return [f"{name} {'' if file is None else file.read().decode('latin-1')}" for name, file in members]
    return [data.decode("latin-1")]


def media_of(content: dict[str, bytes], video_ids: set[str]) -> set[bytes]:
    """The sounds and frames of clips of some videos that no clip of another video has."""
    own: set[bytes] = set()
    of_others: set[bytes] = set()
    for path, data in content.items():
        if path.startswith("clips/"):
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                for member in tar:
                    if not member.name.endswith("json"):
                        file = tar.extractfile(member)
                        assert file is not None
                        is_theirs = member.name.partition(".")[0].rpartition("_")[0] in video_ids
                        (own if is_theirs else of_others).add(file.read())
    return own - of_others


def left_of(content: dict[str, bytes], words: list[str], media: set[bytes]) -> list[str]:
    """Paths of files but tombstones that hold one of the words, in their name or content, or one of the media."""
    found = []
    for path, data in content.items():
        if not path.startswith("tombstones/"):
            texts = [path, *texts_in(path, data)]
            has_media = path.endswith(".tar") and any(piece in data for piece in media)
            if has_media or any(word in text for word in words for text in texts):
                found.append(path)
    return found
