"""The index by which Megatron-Energon reads the shards of a selection as they are: `<tar>.idx` and `.nv-meta/`.

Comes in: where each clip lies, from the table `materialized`. Goes out: for each tar the offsets of its samples and
where the last one ends, as little-endian 64-bit words; how many samples each tar has; which tars are which split.
`energon prepare` finds the same by reading all tars (7.4.1, format of its `CrudeWebdataset`), and makes index.sqlite,
which only `energon mount` and access by key need.
"""

import json

import numpy as np

from pipeline.errors import DataError
from pipeline.reports.card_facts import REMEDY, Facts
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from schemas.materialized import MATERIALIZED

SPLIT_NAMES = {"validate": "val"}  # Energon's, where it has another word
DATASET = b"__module__: megatron.energon\n__class__: CrudeWebdataset\n"


def write_index(workspace: Workspace, facts: Facts) -> list[str]:
    """Write the index beside the shards; return the names of its files.

    Raises:
        DataError: the clips of a tar do not follow one another, by their rows.
    """
    stage = facts.record["stage"]
    found, counts, splits = {}, {}, dict[str, list[str]]()
    for shard in facts.shards:
        part = shard.name.removesuffix(".tar")
        rows = workspace.read(stage, part, MATERIALIZED, ["tar_offset", "tar_bytes"]).sort_by("tar_offset")
        begins, lengths = rows["tar_offset"].to_numpy(), rows["tar_bytes"].to_numpy()
        bounds = np.concatenate(([0], np.cumsum(lengths)))
        if (bounds[:-1] != begins).any():
            raise DataError(f"{workspace.part_uri(stage, part)}: clips do not follow one another in the tar. {REMEDY}")
        found[f"{shard.name}.idx"] = bounds.astype("<u8").tobytes()
        counts[shard.name] = len(rows)
        splits.setdefault(SPLIT_NAMES.get(shard.split, shard.split), []).append(shard.name)
    found[".nv-meta/dataset.yaml"] = DATASET
    found[".nv-meta/split.yaml"] = _json({"split_parts": splits, "exclude": []})  # JSON is YAML
    found[".nv-meta/.info.json"] = _json({"shard_counts": counts})
    for name, data in found.items():
        files.commit_bytes(workspace.uri(stage, name), data)
    return list(found)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"
