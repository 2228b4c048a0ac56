"""A selection `s` with its shuffled shards and all records, made of the world's clips without a cluster."""

import json
from typing import Any

import pyarrow as pa

from jobs.console.presets import preset
from pipeline.clips.splitting import SplittingConfig
from pipeline.hashing import as_dict, hash_json
from pipeline.selection.cutoffs import Cutoffs
from pipeline.selection.deciding import DecidePart, summarize
from pipeline.selection.filtering import ClipRules, FilteringConfig
from pipeline.selection.materializing import MaterializePart, MaterializingConfig, plan_shards
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER, SETTINGS_FILE, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.videos import VIDEOS

EVIL = "<img src=x onerror=alert(1)>|*b*[x](http://evil.example) `c` @all \x1b[31m\u202e\n## no heading"
LICENSES = ("CC0", "https://creativecommons.org/licenses/by-nc-sa/4.0/", EVIL, None)  # of the videos, in turn


def state_licenses(workspace: Workspace) -> None:
    """Give the world's videos the licences of LICENSES and names of authors that nobody can trust."""
    for part in workspace.parts(VIDEOS_FOLDER):
        rows = workspace.read(VIDEOS_FOLDER, part, VIDEOS)
        number = range(len(rows))
        licenses = pa.array([LICENSES[i % len(LICENSES)] for i in number], pa.string())
        authors = pa.array([f"{EVIL} {i}" for i in number], pa.string())
        for name, values in (("license", licenses), ("author", authors)):
            rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)
        workspace.commit(VIDEOS_FOLDER, part, rows, VIDEOS)


def make_shards(workspace: Workspace, spec: Any, **filtering: Any) -> None:
    """Decide on every clip, and copy those that are kept into shards of six."""
    config, splitting = FilteringConfig(**filtering), SplittingConfig()
    root = as_dict(preset("tiny")) | {"seed": 3}
    root["clips"]["base"] = as_dict(spec)
    files.commit_bytes(workspace.uri(SETTINGS_FILE), json.dumps(root).encode())
    workspace.begin(CLIPS_FOLDER, {"clips": {"base": spec}}, {})
    workspace.finish(CLIPS_FOLDER)
    decided = {"filtering": config, "duplicates": {"similarity": None}, "splitting": splitting}
    made = workspace.begin("selections/s", decided, {CLIPS_FOLDER: workspace.stage(CLIPS_FOLDER)["hash"]})
    decide = DecidePart(ClipRules(workspace, "s", None, config, splitting), Cutoffs())
    for part in workspace.parts(CLIPS_FOLDER):
        decide(part)
    workspace.finish("selections/s", **summarize(workspace, "s"))
    inputs = {"selections/s": made, "selections/s parts": hash_json(workspace.parts("selections/s"))}
    materializing = MaterializingConfig(clips_per_shard=6)
    workspace.begin("materialized/s", {"materializing": materializing, "seed": 3}, inputs)
    plan = plan_shards(workspace, "s", materializing, 3)
    for shard in plan.shards:
        MaterializePart(workspace, "s", plan, 3)(shard)
    workspace.finish("materialized/s")


def median_loudness(workspace: Workspace) -> float:
    """A least loudness that half of the clips have."""
    values = sorted(workspace.read_all(CLIPS_FOLDER, CLIPS, ["loudness_lufs"])["loudness_lufs"].to_pylist())
    return (values[len(values) // 2 - 1] + values[len(values) // 2]) / 2
