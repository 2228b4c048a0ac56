"""Which features a learner draws from, and what people say of each of their seconds, as a `ClipSet`."""

import collections
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clips.splitting import SplittingConfig, drawn_splits, shared_splits
from pipeline.features.feature_samples import FeatureClip, decode
from pipeline.labels.event_spans import segment_labels
from pipeline.storage.layout import SPANS_FOLDER
from pipeline.storage.workspace import NUM_READERS, Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.clipsets import rows_of_splits
from schemas.features import FEATURES
from schemas.spans import SPANS, SpanRow

SIZES = ("num_segments", "num_cells", "visual_dim", "audio_dim")  # N, R, C and A


def load_features(
    workspace: Workspace,
    name: str,
    splits: Sequence[str],
    splitting: SplittingConfig,
    parts: Sequence[str],
    spec: str,
    labelled_only: bool = False,
) -> list[ClipSet[FeatureClip]]:
    """The clips that have features, of each of the splits, of these parts of `features/<spec>/<name>`.

    A clip is in the split that its row prescribes, else in that of its video. Beside its place its row has `start_s`,
    SIZES, `categories` [N], of which None is background, `is_labelled`, whether anybody judged its video, and `tag`:
    the category of most of its seconds, of several the first. A clip without an event has no tag; of a video
    without an event it is the category that its row names, if any: so AVE publishes line 27.

    Args:
        labelled_only: leave out clips of videos that nobody judged.
    """
    folder = f"features/{spec}/{name}"
    with ThreadPoolExecutor(NUM_READERS) as pool:
        tables = list(pool.map(lambda part: workspace.read(folder, part, FEATURES), parts))
    own = [part for part, table in zip(parts, tables, strict=True) if table["split"].null_count]
    shared = shared_splits(workspace, splitting, own)
    spans = _spans_by_video(workspace)

    def complete(part: str, table: pa.Table) -> pa.Table:
        by_video = drawn_splits(workspace, part, splitting, shared) if part in own else {}
        rows = table.filter(pc.is_valid(table["tar_offset"])).to_pylist()
        said = [_labels(spans.get(row["video_id"]), row["start_s"], row["num_segments"]) for row in rows]
        columns = {name: pa.array([row[name] for row in rows], FEATURES.field(name).type) for name in FEATURES.names}
        columns |= {
            "part": pa.array([part] * len(rows), pa.string()),
            "split": pa.array([row["split"] or by_video[row["video_id"]] for row in rows], pa.string()),
            "categories": pa.array([categories for categories, _ in said], pa.list_(pa.string())),
            "tag": pa.array([tag for _, tag in said], pa.string()),
            "is_labelled": pa.array([row["video_id"] in spans for row in rows], pa.bool_()),
        }
        return pa.table(columns)

    with ThreadPoolExecutor(NUM_READERS) as pool:
        clips = pa.concat_tables(pool.map(complete, parts, tables))
    if labelled_only:
        clips = clips.filter(clips["is_labelled"])
    return [ClipSet(workspace, folder, rows, decode) for rows in rows_of_splits(clips, splits)]


def _spans_by_video(workspace: Workspace) -> Mapping[str, list[SpanRow]]:
    found: dict[str, list[SpanRow]] = {}
    for row in workspace.read_all(SPANS_FOLDER, SPANS).to_pylist():
        found.setdefault(row["video_id"], []).append(row)
    return found


def _labels(spans: list[SpanRow] | None, start_s: float, num_segments: int) -> tuple[list[str | None], str | None]:
    """The category of each second of a clip, and its tag."""
    if spans is None:
        return [None] * num_segments, None
    categories = segment_labels(spans, start_s, num_segments)
    counts = collections.Counter(category for category in categories if category is not None)
    if counts:
        return categories, counts.most_common(1)[0][0]
    has_event = any(span["end_s"] > 0 for span in spans)
    return categories, None if has_event else min(span["category"] for span in spans) or None
