"""Published labels of what sounds and what is seen -> judgements: VGGSounder's table, and AVE's annotations.

VGGSounder (Zverev et al. 2025, arXiv:2508.08237) has a row for each class in a video of VGGSound, whose name is
`<YouTube id>_<start in s>`: whether the class is heard (A), seen (V) or both (AV), and of the video whether it has
background music or a voice-over and whether its picture stands still. AVE (`collection/ave_annotations.py`) has a span
in which an event is heard and seen.

Design note: a class that is heard and seen is on screen, one that is heard alone is off screen; background music and
voice-overs are heard and not seen by their definition. AVE names no other sounds, so its spans are on screen and say
nothing of what is off screen beside; outside of its spans nothing is judged.
"""

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.collection.ave_annotations import is_annotations, read_annotations
from pipeline.labels.label_files import Columns, LabelFile

FLAGS = ("background_music", "voice_over", "static_image")
COLUMNS = ("video_id", "modality", *FLAGS)
MODALITIES = ("A", "V", "AV")
AVE_S = 10.0  # length of its videos


def is_published(file: LabelFile) -> bool:
    """Whether a label file is of one of these forms."""
    if file.is_parquet:
        return set(COLUMNS) <= set(file.header())
    return is_annotations(file.path) or set(COLUMNS) <= {name.strip().lower() for name in file.header()}


def read_published(file: LabelFile) -> Columns:
    """A judgement for each video of VGGSounder or each event of AVE: video, times, what is on and off screen, flags.

    Raises:
        ConfigError: a row has another modality than A, V and AV, or a flag that is neither true nor false.
    """
    return _ave(file) if not file.is_parquet and is_annotations(file.path) else _vggsounder(file)


def _vggsounder(file: LabelFile) -> Columns:
    texts = file.texts(file.header(), COLUMNS)
    file.require(pc.not_equal(texts["video_id"], ""), texts, ["video_id"], "the name of a video, or no such row")
    modality = texts["modality"]
    file.require(pc.is_in(modality, pa.array(MODALITIES)), texts, ["modality"], "A, V or AV")
    columns: dict[str, pa.ChunkedArray] = {"video": texts["video_id"]}
    for name in FLAGS:
        text = pc.utf8_lower(texts[name])
        columns[name] = pc.equal(text, "true")
        file.require(pc.or_(columns[name], pc.equal(text, "false")), texts, [name], "True or False")
    unseen = pc.or_(columns["background_music"], columns["voice_over"])
    columns |= {"on_screen": pc.equal(modality, "AV"), "off_screen": pc.or_(pc.equal(modality, "A"), unseen)}
    # a video is judged if any of its classes is: of all its rows one judgement
    named = ("on_screen", "off_screen", *FLAGS)
    found = (
        pa.table(columns)
        .group_by("video", use_threads=False)
        .aggregate([(name, "max") for name in named])
        .sort_by("video")
    )
    judged = {name: found[f"{name}_max"] for name in named}
    count = len(found)
    return _complete(
        {"video": found["video"], "start_s": _fill(0.0, count), "end_s": _fill(float("inf"), count)} | judged
    )


def _ave(file: LabelFile) -> Columns:
    events = [event for event in read_annotations(file.here, file.path) if event.end_s > event.start_s]
    values = {
        "video": pa.array([event.video for event in events], pa.string()),
        "start_s": pa.array([event.start_s for event in events], pa.float64()),
        "end_s": pa.array([min(event.end_s, AVE_S) for event in events], pa.float64()),
    }
    columns = {name: pa.chunked_array([array]) for name, array in values.items()}
    seen, unseen = _fill(True, len(events)), _fill(False, len(events))
    return _complete(columns | {"on_screen": seen, "off_screen": unseen} | no_flags(len(events)))


def no_flags(count: int) -> Columns:
    """The columns of FLAGS of a file that has none of them: null, which is neither yes nor no."""
    return {name: pa.chunked_array([pa.nulls(count, pa.bool_())]) for name in FLAGS}


def _complete(columns: Columns) -> Columns:
    """With the columns of every label file that these have alike."""
    count = len(columns["video"])
    raters = pa.chunked_array([pa.repeat(pa.scalar(1, pa.int8()), count)])
    return columns | {"rater": _fill("", count), "num_raters": raters, "is_repeat": _fill(False, count)}


def _fill(value: bool | str | float, count: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.repeat(value, count)])
