"""Words of clips: those with room for their window, of spans of time in which one face alone is followed."""

from conftest import World

from pipeline.clips.splitting import SplittingConfig
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.word_clips import load_words, words_of_clip
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.spans import SpanRow
from schemas.videos import VIDEOS
from tests.helpers.features import write_spans

FOLDER = "clips/speech"


def span(start_s: float, end_s: float, word: str = "about") -> SpanRow:
    return {"video_id": "v", "start_s": start_s, "end_s": end_s, "category": word, "source": "words.csv"}


def test_a_window_lies_around_the_middle_of_its_word_and_within_the_clip() -> None:
    # 29 of 50 frames: the first may be frame 0 to 21, so middles lie from 14.5 to 35.5 frames, 0.58 to 1.42 s
    spans = [span(middle_s - 0.1, middle_s + 0.1, f"{middle_s}") for middle_s in (0.5, 0.58, 1.0, 1.42, 1.5)]
    assert words_of_clip(spans, 0.0, 50, 25.0, 29) == [("0.58", 0), ("1.0", 10), ("1.42", 21)]
    moved = [span(each["start_s"] + 6, each["end_s"] + 6, each["category"]) for each in reversed(spans)]
    assert words_of_clip(moved, 6.0, 50, 25.0, 29) == [("0.58", 0), ("1.0", 10), ("1.42", 21)]
    # LRW: clips of 29 frames, whose word is in the middle of 1.16 s
    assert words_of_clip([span(0.315, 0.845)], 0.0, 29, 25.0, 29) == [("about", 0)]


def test_words_of_a_place_with_one_kept_face_are_drawn_with_the_split_of_their_video(
    workspace: Workspace, world: World
) -> None:
    (video, other), (held_out, *_) = world.video_ids["train"][:2], world.video_ids["test"]
    faces = [  # video, start, track, outcome
        (video, 0.0, 0, "kept"),
        (video, 2.0, 0, "kept"),
        (video, 2.0, 1, "kept"),  # nobody knows whose words these are
        (video, 4.0, 0, "small_face"),
        (other, 0.0, 0, "kept"),
        (other, 0.0, 1, "partly_tracked"),
        (held_out, 0.0, 3, "kept"),
    ]
    spans = [(video, start_s + 0.9, start_s + 1.1, f"at {start_s:g}") for start_s in (0.0, 2.0, 4.0)]
    spans += [(other, 0.8, 1.2, "near"), (other, 0.9, 1.3, "far"), (held_out, 0.0, 0.0, "")]
    for part in workspace.parts(VIDEOS_FOLDER):
        videos = workspace.read(VIDEOS_FOLDER, part, VIDEOS)
        here = set(videos["video_id"].to_pylist())
        rows = [
            {
                **{"clip_id": f"{name}_{round(1000 * start_s):08d}_speech_f{track}", "video_id": name, "part": part},
                **{"start_s": start_s, "duration_s": 2.0, "tar_offset": 0, "tar_bytes": 1, "num_frames": 50},
                "outcome": outcome,
            }
            for name, start_s, track, outcome in faces
            if name in here
        ]
        workspace.commit(FOLDER, part, from_rows(rows, CLIPS, part), CLIPS)
        workspace.commit("videos/speech", part, videos, VIDEOS)
        write_spans(workspace, part, [row for row in spans if row[0] in here])
    train, validate, test = load_words(
        workspace, ("train", "validate", "test"), SplittingConfig(), workspace.parts(FOLDER), "speech", 25.0, 29
    )
    found = [
        (row["clip_id"], row["word"], row["first_frame"])
        for row in train.rows.select(["clip_id", "word", "first_frame"]).to_pylist()
    ]
    assert sorted(found) == sorted(
        [
            (f"{video}_00000000_speech_f0", "at 0", 10),
            (f"{other}_00000000_speech_f0", "near", 10),
            (f"{other}_00000000_speech_f0", "far", 13),
        ]
    )
    assert len(train.clips_of) == 2  # as many examples of a batch as videos
    assert len(validate) == len(test) == 0
