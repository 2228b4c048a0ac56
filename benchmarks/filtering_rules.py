"""Filtering 7.2 million clips by six rules of a user's own, over imported tables, clips and videos: CPU seconds.

    python -m benchmarks.filtering_rules [MILLIONS]

The peer is DuckDB on the same files: one SELECT by hand that joins them and writes each clip's reason to Parquet; and
one that writes the columns of `selections`, split and different seconds included. Limit: twice the CPU seconds of the
first. All must count the same clips for each reason. Filtering is what each worker of `earshot filter` does with the
parts of its tasks, here in this process.
"""

import collections
import concurrent.futures
import sys
import tempfile
import time

import duckdb
import numpy as np
import pyarrow as pa

from cluster.mapping import split_into_batches
from jobs.filter import PARTS_PER_TASK
from pipeline.clips.splitting import SplittingConfig
from pipeline.outside.imported_types import schema_of
from pipeline.selection.cutoffs import Cutoffs
from pipeline.selection.deciding import DecidePart
from pipeline.selection.filtering import ClipRules, FilteringConfig
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.videos import VIDEOS

VIDEOS_OF_PART, CLIPS_OF_VIDEO = 80, 36
CLIPS_OF_PART = VIDEOS_OF_PART * CLIPS_OF_VIDEO
MAX_RATIO = 2.0
TABLES = {
    "peav": {"similarity": "DOUBLE", "offset_s": "DOUBLE"},
    "tags": {"speech": "FLOAT", "kind": "VARCHAR"},
}
RULES = (
    "peav.similarity >= 0.25 as low_similarity",
    "abs(peav.offset_s) <= 0.2 as late",
    "tags.speech <= 0.5 as speech",
    "tags.kind <> 'music' as music",
    "loudness_lufs >= -35 AND silent_fraction < 0.8 as faint",
    "videos.license IN ('CC0', 'CC BY 4.0') as not_free",
)
DECIDED = """
    SELECT clip_id, video_id, part, start_s, duration_s, CASE
        WHEN outcome <> 'kept' THEN 'not_cut:' || outcome
        WHEN similarity IS NULL THEN 'no_peav' WHEN similarity < 0.25 THEN 'low_similarity'
        WHEN offset_s IS NULL THEN 'no_peav' WHEN abs(offset_s) > 0.2 THEN 'late'
        WHEN speech IS NULL THEN 'no_tags' WHEN speech > 0.5 THEN 'speech'
        WHEN kind IS NULL THEN 'no_tags' WHEN kind = 'music' THEN 'music'
        WHEN loudness_lufs < -35 OR silent_fraction >= 0.8 THEN 'faint'
        WHEN license IS NULL THEN 'no_license' WHEN license NOT IN ('CC0', 'CC BY 4.0') THEN 'not_free'
        ELSE 'kept' END AS reason
    FROM read_parquet('{root}/tables/clips/spec=base/*.parquet') AS clips
    LEFT JOIN (SELECT clip_id, similarity, offset_s FROM read_parquet('{root}/tables/imported/name=peav/*.parquet'))
        USING (clip_id)
    LEFT JOIN (SELECT clip_id, speech, kind FROM read_parquet('{root}/tables/imported/name=tags/*.parquet'))
        USING (clip_id)
    LEFT JOIN (SELECT video_id, license FROM read_parquet('{root}/tables/videos/spec=base/*.parquet'))
        USING (video_id)
"""
REASONS_ALONE = f"SELECT clip_id, video_id, reason FROM ({DECIDED})"
WHOLE = f"""
    WITH placed AS (
        SELECT *, reason = 'kept' AS kept, start_s + duration_s AS end_s,
            ('0x' || sha256('split ' || video_id)[:16])::UBIGINT / pow(2, 64) AS place
        FROM ({DECIDED})
    )
    SELECT clip_id, video_id, part, kept, reason,
        CASE WHEN place < 0.02 THEN 'test' WHEN place < 0.04 THEN 'validate' ELSE 'train' END AS split,
        CASE WHEN kept THEN round(end_s - least(end_s, greatest(start_s, coalesce(
            lag(end_s) OVER (PARTITION BY video_id, kept ORDER BY start_s), start_s))), 6) END AS unique_s,
        NULL::FLOAT AS score, NULL::VARCHAR AS label
    FROM placed ORDER BY clip_id
"""


def generate(root: str, number: int) -> None:
    """One part of each table; a tenth of the clips has no row in an imported table."""
    workspace, part, rng = Workspace(root), f"{number:05d}", np.random.default_rng([1, number])
    names = [f"video_{number * VIDEOS_OF_PART + i:07d}-0123456789ab" for i in range(VIDEOS_OF_PART)]
    starts = np.tile(np.arange(CLIPS_OF_VIDEO), VIDEOS_OF_PART)
    ids = pa.array([f"{name}_{start:05d}000" for name in names for start in range(CLIPS_OF_VIDEO)])
    columns = {
        "clip_id": ids,
        "video_id": pa.array(np.repeat(names, CLIPS_OF_VIDEO)),
        "start_s": pa.array(starts.astype(float)),
        "duration_s": pa.array(np.full(CLIPS_OF_PART, 5.0)),
        "part": pa.array([part] * CLIPS_OF_PART),
        "num_frames": pa.array(np.full(CLIPS_OF_PART, 5), pa.int32()),
        "outcome": pa.array(np.where(rng.random(CLIPS_OF_PART) < 0.05, "silent", "kept")),
        "loudness_lufs": pa.array(rng.uniform(-40, -10, CLIPS_OF_PART)),
        "silent_fraction": pa.array(rng.random(CLIPS_OF_PART)),
    }
    rows = pa.table({item.name: columns.get(item.name, pa.nulls(CLIPS_OF_PART, item.type)) for item in CLIPS})
    workspace.commit("clips/base", part, rows.cast(CLIPS), CLIPS)
    facts = {"part": part, "num_clips": CLIPS_OF_VIDEO, "outcome": "kept", "rights": "unknown"}
    licenses = rng.choice(["CC0", "CC BY 4.0", "GPL"], VIDEOS_OF_PART)
    videos = [
        facts | {"video_id": name, "uri": f"s3://videos/{name}.mp4", "license": license}
        for name, license in zip(names, licenses.tolist(), strict=True)
    ]
    workspace.commit("videos/base", part, from_rows(videos, VIDEOS, part), VIDEOS)
    values = {
        "peav": [pa.array(rng.random(CLIPS_OF_PART)), pa.array(rng.normal(0, 0.2, CLIPS_OF_PART))],
        "tags": [
            pa.array(rng.random(CLIPS_OF_PART).astype(np.float32)),
            pa.array(rng.choice(["music", "dog", "rain"], CLIPS_OF_PART)),
        ],
    }
    for name, found in values.items():
        schema = schema_of(name, TABLES[name])
        has_row = pa.array(rng.random(CLIPS_OF_PART) < 0.9)
        workspace.commit(f"imported/{name}", part, pa.table([ids, *found], schema=schema).filter(has_row), schema)


def count_by_hand(root: str, sql: str) -> tuple[float, dict[str, int]]:
    """CPU seconds of a SELECT whose rows are written to Parquet, and its clips by reason."""
    with duckdb.connect(config={"memory_limit": "3GB", "temp_directory": f"{root}.spill"}) as database:
        began = time.process_time()
        database.execute(f"COPY ({sql.format(root=root)}) TO '{root}.parquet' (COMPRESSION zstd)").fetchall()
        used_s = time.process_time() - began
        counted = database.sql(f"SELECT reason, count(*) FROM '{root}.parquet' GROUP BY 1").fetchall()
    return used_s, dict(counted)


def main() -> None:
    """Print CPU seconds beside the limit; exit code 1 if it is missed."""
    num_parts = round((float(sys.argv[1]) if len(sys.argv) > 1 else 7.2) * 1e6 / CLIPS_OF_PART)
    with tempfile.TemporaryDirectory(prefix="earshot-filter-bench-") as folder:
        root = f"{folder}/root"
        with concurrent.futures.ProcessPoolExecutor() as pool:
            list(pool.map(generate, [root] * num_parts, range(num_parts), chunksize=10))
        workspace = Workspace(root)
        for name, columns in TABLES.items():
            workspace.begin(f"imported/{name}", {"spec": "base", "columns": columns, "content": {}}, {})
        alone_s, expected = count_by_hand(root, REASONS_ALONE)
        whole_s, counted = count_by_hand(root, WHOLE)
        assert counted == expected
        began = time.process_time()
        decide = DecidePart(ClipRules(workspace, "s", None, FilteringConfig(rules=RULES), SplittingConfig()), Cutoffs())
        reasons = collections.Counter[str]()
        for batch in split_into_batches(workspace.parts("clips/base"), PARTS_PER_TASK):
            for counts in decide.run_parts(batch):
                reasons.update(counts)
        ours_s = time.process_time() - began
        assert reasons == expected
    ratio = ours_s / alone_s
    print(
        f"{num_parts * CLIPS_OF_PART:,} clips, 6 rules: {ours_s:.1f} s of CPU; DuckDB by hand {alone_s:.1f} s, ratio "
        f"{ratio:.2f} (limit {MAX_RATIO:g}); with all columns of a selection {whole_s:.1f} s, {ours_s / whole_s:.2f}"
    )
    sys.exit(ratio > MAX_RATIO)


if __name__ == "__main__":
    main()
