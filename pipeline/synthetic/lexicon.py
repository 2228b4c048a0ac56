"""The words of the synthetic world: twenty, of two to four syllables, that any of its people can say.

Comes in: when a person begins to talk and has to end, a pitch, a random generator. Goes out: the notes of the words
said between, and when each word is said. A word is spelled as it is said: each syllable is a consonant and a vowel, `s`
for one that begins with a hiss and `b` for one that does not.

Design note: what is seen of a word is its vowels alone (`faces.py` draws lips that close between any two syllables, and
a hiss is heard only). So words differ in their vowels: no word's vowels begin another's, and words of equal length
differ in two vowels or more of two or three, in three or more of four. Who reads lips can distinguish all twenty.
"""

import numpy as np

from pipeline.synthetic.kinds import FRICATIVE, KINDS, VOWELS, Note
from pipeline.synthetic.scenes import Word

LEXICON = (
    *("basu", "sebo", "biba", "bosi", "suse"),
    *("bubosi", "sibobu", "besube", "bosabo", "saboba", "busisa", "besibu", "sabebi"),
    *("bobusibe", "basibabe", "sebabesu", "babosubi", "bubasobe", "sibubasi", "bisebosa"),
)
HISS = "s"
PAUSE_S = (0.1, 0.3)  # from the end of a word to the start of the next


def syllables(word: str) -> tuple[int, ...]:
    """The `shape` of the note of each syllable of a word, as `kinds.Note` has it.

    >>> syllables("basu"), FRICATIVE
    ((0, 9), 5)
    """
    pairs = zip(word[::2], word[1::2], strict=True)
    return tuple(VOWELS.index(vowel) + FRICATIVE * (consonant == HISS) for consonant, vowel in pairs)


def vowels(word: str) -> str:
    """What is seen of a word.

    >>> vowels("bisebosa")
    'ieoa'
    """
    return word[1::2]


def say_words(
    start_s: float, end_s: float, pitch_hz: float, rng: np.random.Generator, most: int | None = None
) -> tuple[tuple[Note, ...], tuple[Word, ...]]:
    """Words drawn from the lexicon, one after the other with pauses between them, from one time to another.

    Args:
        start_s: when the first word starts.
        end_s: when all have ended.
        pitch_hz: the voice's mean fundamental.
        rng: of words, rhythm and melody.
        most: how many words, if there is room for them; None: as many as there is room for.
    Returns:
        The notes and the words, in time order. There is a word wherever one of two syllables fits, which takes 0.65 s.
    """
    habits = KINDS["speaker"]
    interval_s = float(np.exp(rng.uniform(*np.log(habits.interval_s))))
    notes: list[Note] = []
    words: list[Word] = []
    while most is None or len(words) < most:
        drawn = rng.permutation(LEXICON)[: 1 if words else None]  # the first word may be another one, if that one fits
        said = (_say(str(word), start_s, interval_s, pitch_hz, rng) for word in drawn)
        fitting = next((one for one in said if one[1].end_s <= end_s), None)
        if fitting is None:
            break
        notes += fitting[0]
        words.append(fitting[1])
        start_s = fitting[1].end_s + rng.uniform(*PAUSE_S)
    return tuple(notes), tuple(words)


def _say(
    word: str, start_s: float, interval_s: float, pitch_hz: float, rng: np.random.Generator
) -> tuple[list[Note], Word]:
    """One word: its notes, each as unevenly long, high and loud as a speaker's are."""
    habits = KINDS["speaker"]
    notes = []
    time_s = start_s
    for shape in syllables(word):
        step_s = interval_s * (1 + habits.jitter * rng.uniform(-1, 1))
        notes.append(
            Note(
                start_s=round(time_s, 4),
                duration_s=round(step_s * habits.fill - 2e-4, 4),  # never touches the next
                pitch_hz=round(pitch_hz * habits.steps[rng.integers(len(habits.steps))], 2),
                strength=round(rng.uniform(0.6, 1.0), 3),
                shape=shape,
            )
        )
        time_s += step_s
    end_s = notes[-1].start_s + notes[-1].duration_s
    return notes, Word(word=word, start_s=notes[0].start_s, end_s=round(end_s, 4))
