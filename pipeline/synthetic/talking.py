"""Videos of talking heads: one face, two that take turns, or a silent one under the voice of someone else.

Comes in: a world's config, the video's number, a random generator. Goes out: the faces in view and who says which words
when. What two faces say never overlaps, so that at every moment at most one speaks.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.synthetic.identities import NUM_IDENTITIES, identity
from pipeline.synthetic.kinds import Note
from pipeline.synthetic.lexicon import PAUSE_S, say_words
from pipeline.synthetic.placing import FRAME_SIZES, place_thing, rounded
from pipeline.synthetic.scenes import Source, Thing, Word

if TYPE_CHECKING:
    from pipeline.synthetic.planning import WorldConfig

LATEST_START_S = 0.3
WORDS_OF_A_TURN = (2, 5)  # 2 to 4, where two faces take turns


class Said(NamedTuple):
    """What one voice says in a video."""

    notes: tuple[Note, ...] = ()
    words: tuple[Word, ...] = ()
    spans: tuple[tuple[float, float], ...] = ()
    """(start_s, end_s) of its turns, from the start of a word to the end of one."""


def plan_talk(
    config: "WorldConfig", index: int, rng: np.random.Generator
) -> tuple[tuple[int, int], list[Source], list[Thing]]:
    """Width and height of the frame, the voices, and the faces that say nothing."""
    what = rng.random()
    is_silent = what < config.silent_face_fraction
    num_faces = 1 + (what >= 1 - config.two_faces_fraction)
    width, height = FRAME_SIZES[rng.integers(len(FRAME_SIZES))]
    people = [int(person) for person in rng.permutation(NUM_IDENTITIES)[:2]]
    faces: list[Thing | None] = [
        replace(place_thing("speaker", place, num_faces, width / height, rng), identity=people[place])
        for place in range(num_faces)
    ]
    still = [face for face in faces if face and is_silent]
    voices = [None] if is_silent else faces
    of_voices = people[1:] if is_silent else people[:num_faces]
    pitches_hz = [identity(person).pitch_hz * rng.uniform(0.95, 1.05) for person in of_voices]
    sources = []
    for number, said in enumerate(_take_turns(config.duration_s, pitches_hz, rng)):
        thing = voices[number]
        if not said.words:  # the video ended before its turn
            still += [thing] if thing else []
            continue
        sources.append(
            Source(
                kind="speaker",
                thing=thing,
                spans=said.spans,
                notes=said.notes,
                pitch_hz=rounded(pitches_hz[number]),
                gain_db=rounded(rng.uniform(-3, 3)),
                pan=rounded((thing.x * 2 - 1) * 0.5 if thing else rng.uniform(-0.5, 0.5)),
                identity=of_voices[number],
                seed=(config.seed, index, 1 + number),
                words=said.words,
            )
        )
    return (width, height), sources, still


def _take_turns(duration_s: float, pitches_hz: list[float], rng: np.random.Generator) -> list[Said]:
    """What each voice says: one alone talks to the end; two take turns of WORDS_OF_A_TURN."""
    said = [Said() for _ in pitches_hz]
    time_s = rng.uniform(0, LATEST_START_S)
    who = int(rng.integers(len(pitches_hz)))
    while True:
        most = int(rng.integers(*WORDS_OF_A_TURN)) if len(pitches_hz) > 1 else None
        notes, words = say_words(time_s, duration_s, pitches_hz[who], rng, most)
        if not words:
            return said
        before, span = said[who], (words[0].start_s, words[-1].end_s)
        said[who] = Said(before.notes + notes, before.words + words, (*before.spans, span))
        time_s = words[-1].end_s + rng.uniform(*PAUSE_S)
        who = (who + 1) % len(pitches_hz)
