"""Talking heads: words that the eye can tell apart, said in turns, and heard and seen where the truth says."""

import csv
import doctest
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jobs.world import RECORD, TALKING_HEADS, claim_folder
from pipeline.errors import ConfigError
from pipeline.hashing import as_dict
from pipeline.synthetic import lexicon
from pipeline.synthetic.faces import mouth_shape
from pipeline.synthetic.identities import NUM_IDENTITIES
from pipeline.synthetic.kinds import FRICATIVE, KINDS
from pipeline.synthetic.lexicon import LEXICON, say_words, syllables, vowels
from pipeline.synthetic.motions import Motion
from pipeline.synthetic.planning import WorldConfig, plan_scene
from pipeline.synthetic.rendering import mix, render_scene
from pipeline.synthetic.scenes import Scene, Source
from pipeline.synthetic.sounds import RATE_HZ
from pipeline.synthetic.truth import load_truth, speaking_source, word_spans, write_words

TALKS = WorldConfig(
    num_videos=300, seed=5, duration_s=5.0, talking_fraction=1.0, two_faces_fraction=0.4, silent_face_fraction=0.2
)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [plan_scene(TALKS, index) for index in range(TALKS.num_videos)]


def faces_of(scene: Scene) -> list[int | None]:
    """Who is in view."""
    return [thing.identity for thing in [*(s.thing for s in scene.sources), *scene.still] if thing]


def voices(scenes: list[Scene]) -> list[Source]:
    return [source for scene in scenes for source in scene.sources]


def test_words_are_apart_for_the_eye() -> None:
    seen = [vowels(word) for word in LEXICON]
    assert (len(LEXICON), len(set(seen))) == (20, 20)
    assert {len(each) for each in seen} == {2, 3, 4}
    for one, other in itertools.permutations(seen, 2):
        assert not other.startswith(one)
        if len(one) == len(other):
            assert sum(a != b for a, b in zip(one, other, strict=True)) >= (3 if len(one) == 4 else 2), (one, other)


def test_the_picture_of_a_word_is_its_vowels_alone() -> None:
    """A hiss is heard: lips of a word and of one with other consonants are the same."""
    rng = np.random.default_rng(0)
    notes, (word,) = say_words(0.0, 3.0, 120.0, rng, most=1)
    assert tuple(note.shape for note in notes) == syllables(word.word)
    hissed = tuple(replace(note, shape=note.shape % FRICATIVE + FRICATIVE) for note in notes)
    t = np.arange(0, 2, 0.04)
    for a, b in zip(mouth_shape(Motion(notes), t), mouth_shape(Motion(hissed), t), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_said_is_words_with_pauses(scenes: list[Scene]) -> None:
    for source in voices(scenes):
        notes = list(source.notes)
        for word in source.words:
            said = [notes.pop(0) for _ in syllables(word.word)]
            assert tuple(note.shape for note in said) == syllables(word.word)
            assert said[0].start_s == word.start_s
            assert said[-1].start_s + said[-1].duration_s == pytest.approx(word.end_s, abs=1e-6)
            assert all(a.start_s + a.duration_s < b.start_s for a, b in itertools.pairwise(said))
        assert notes == []
        pauses = [b.start_s - a.end_s for a, b in itertools.pairwise(source.words)]
        assert min(pauses, default=1.0) > 0.1 - 1e-3
        assert 0 <= source.words[0].start_s < source.words[-1].end_s <= TALKS.duration_s
        for word in source.words:
            assert any(first <= word.start_s and word.end_s <= last for first, last in source.spans)


def test_any_person_says_any_word(scenes: list[Scene]) -> None:
    heard = {(source.identity, word.word) for source in voices(scenes) for word in source.words}
    assert len(heard) > 0.9 * NUM_IDENTITIES * len(LEXICON)  # 1 700 words of 240 pairs: all but a few
    counts = {word: sum(w.word == word for s in voices(scenes) for w in s.words) for word in LEXICON}
    assert max(counts.values()) < 3 * min(counts.values())


def test_scenes_are_talking_heads_as_configured(scenes: list[Scene]) -> None:
    assert {source.kind for source in voices(scenes)} == {"speaker"}
    assert {scene.frame_rate_hz for scene in scenes} == {25}
    two = [scene for scene in scenes if len(faces_of(scene)) == 2]
    silent = [scene for scene in scenes if not any(source.on_screen for source in scene.sources)]
    assert len(two) / 300 == pytest.approx(0.4, abs=2.5 * (0.4 * 0.6 / 300) ** 0.5)
    assert len(silent) / 300 == pytest.approx(0.2, abs=2.5 * (0.2 * 0.8 / 300) ** 0.5)
    for scene in silent:
        assert (len(scene.sources), len(scene.still)) == (1, 1)
        assert scene.sources[0].identity != scene.still[0].identity
    for scene in two:
        assert len(set(faces_of(scene))) == 2
        assert all(source.on_screen for source in scene.sources)
        spans = sorted(span for source in scene.sources for span in source.spans)
        assert all(first[1] < second[0] for first, second in itertools.pairwise(spans)), "one speaks at a time"
        things = [*(source.thing for source in scene.sources), *scene.still]
        left, right = sorted(thing.x * scene.width for thing in things if thing)
        wide = max(thing.size for thing in things if thing) * scene.height * (0.78 + 0.13)  # a face and its ears
        assert right - left > wide, "faces do not hide each other"


def test_other_videos_of_a_world_stay_as_they_are_without_talking_heads() -> None:
    plain = WorldConfig(num_videos=60, seed=5)
    some = replace(plain, talking_fraction=0.5)
    same = [plan_scene(plain, index) == plan_scene(some, index) for index in range(60)]
    talks = [any(source.words for source in plan_scene(some, index).sources) for index in range(60)]
    assert same == [not talk for talk in talks]
    assert 15 <= sum(talks) <= 45
    assert not any(source.words for index in range(60) for source in plan_scene(plain, index).sources)


def test_a_voice_sounds_in_its_words_and_is_silent_between_turns(scenes: list[Scene]) -> None:
    scene = next(s for s in scenes if len(s.sources) == 2 and len(s.sources[0].spans) == 2)
    stems, _ = mix(scene)
    for source, stem in zip(scene.sources, stems, strict=True):
        t = np.arange(len(stem)) / RATE_HZ
        inside = np.zeros(len(stem), bool)
        for first_s, last_s in source.spans:
            inside |= (t >= first_s) & (t <= last_s)
        assert np.abs(stem[~inside]).max() == 0
        levels = [np.sqrt(np.square(stem[(t > w.start_s) & (t < w.end_s)]).mean()) for w in source.words]
        assert min(levels) > 0.2 * max(levels) > 0


def test_who_speaks_between_two_times_is_who_says_words_for_longest(scenes: list[Scene]) -> None:
    scene = next(s for s in scenes if len(s.sources) == 2)
    for number, source in enumerate(scene.sources):
        for first_s, last_s in source.spans:
            assert speaking_source(scene, first_s, last_s) == number
            assert speaking_source(scene, first_s - 0.01, first_s + 0.1) == number
    assert speaking_source(scene, 100.0, 101.0) is None
    silent = next(s for s in scenes if not any(source.on_screen for source in s.sources))
    assert speaking_source(silent, 0.0, 5.0) is None


def test_words_are_written_for_spans_and_to_the_truth(tmp_path: Path) -> None:
    config = replace(TALKS, num_videos=12)
    with write_words(config, tmp_path).open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["video", "start_s", "end_s", "category"]
    for index in range(12):
        scene = plan_scene(config, index)
        of_video = [row for row in rows if row["video"] == scene.video]
        said = [word for source in scene.sources if source.on_screen for word in source.words]
        assert {(row["start_s"], row["category"]) for row in of_video} == (
            {(str(word.start_s), word.word) for word in said} or {("0.0", "")}
        )
        assert len(of_video) == len(word_spans(scene))
    assert {row["category"] for row in rows} <= {*LEXICON, ""}
    index = next(i for i in range(12) if len(plan_scene(config, i).sources) == 2)
    short = replace(config, duration_s=2.0)
    render_scene(short, index, tmp_path)
    truth = load_truth(tmp_path, f"world_{index:05d}")
    assert truth.scene == plan_scene(short, index)
    assert any(source.words for source in truth.scene.sources)
    folder = tmp_path / "truth" / truth.scene.name
    assert b'"words"' in (folder / "scene.json").read_bytes()
    render_scene(replace(short, talking_fraction=0.0), index, tmp_path)
    assert b'"words"' not in (folder / "scene.json").read_bytes()


@pytest.mark.parametrize("duration_s", [1.0, 1.7])
def test_the_shortest_video_has_a_word(duration_s: float) -> None:
    for index in range(100):
        scene = plan_scene(replace(TALKS, duration_s=duration_s), index)
        assert scene.sources
        assert all(source.words for source in scene.sources)
        assert len(faces_of(scene)) >= 1
    _, soundtrack = mix(scene)
    assert np.isfinite(soundtrack).all()


def test_shares_of_talking_heads_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"two_faces_fraction \+ silent_face_fraction = 1.1: expected at most 1"):
        WorldConfig(num_videos=1, two_faces_fraction=0.6, silent_face_fraction=0.5)


def test_a_folder_of_a_version_without_talking_heads_holds_a_world_without_them(tmp_path: Path) -> None:
    plain = WorldConfig(num_videos=3)
    known = as_dict(plain)
    for newer in ("talking_fraction", "two_faces_fraction", "silent_face_fraction"):
        del known[newer]
    (tmp_path / RECORD).write_text(json.dumps(known))
    with pytest.raises(ConfigError, match=r"holds a world of talking_fraction 0.0, asked for 1.0"):
        claim_folder(WorldConfig(num_videos=3, **TALKING_HEADS), tmp_path)
    claim_folder(plain, tmp_path)
    assert json.loads((tmp_path / RECORD).read_text()) == as_dict(plain)


def test_examples_in_docstrings_run() -> None:
    assert KINDS["speaker"].interval_s[1] * (1 + KINDS["speaker"].jitter) * 2 <= 0.65  # what `say_words` promises
    result = doctest.testmod(lexicon)
    assert result.attempted > 0
    assert result.failed == 0
