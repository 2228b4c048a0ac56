"""What a trained model of lip reading knows of held-out videos of a synthetic world, whose truth says who says what.

Usage: python -m benchmarks.lipreading_world ROOT [--model lipreading] [--untrained] [--seed 0] [--max-train-clips 600]

ROOT is a workspace after `earshot demo --system lipreading`, whose videos are a world's with its truth beside them;
nothing is written. A clip is of the person whose face is nearest to its mouth; it is spoken if that person says words
for a second or more of it. With `--untrained` the figures are of the same network with fresh weights.

short, long       R@1 among 10 windows of a clip, 0.2 s apart, and among 32 clips of different videos, both directions
same person       R@1 of clips among 12 of one person, of different videos
offset            spoken clips whose sound was moved by up to 400 ms, and it is found within 40 ms
identity          which of the 12 people it is, by a linear probe of the mean embedding of lips
modality          lips or speech, by a linear probe of single embeddings
words             which of 20 words it is, by a linear probe of the lips in thirds of a word; see also the table summary
speaking          of two faces in view, the one that speaks, in each second in which one does

Probes are fitted to clips of training videos, and tried on those of test videos. Intervals of 95 % are over videos.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pipeline.clips.samples import Clip
from pipeline.evaluation.lipreading_evaluation import BATCH_SIZE, GALLERY_VIDEOS, is_found
from pipeline.evaluation.utterance_rows import EDGE, MAX_OFFSET, Utterances, long_rank
from pipeline.learners.sources import load_sets
from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.linear_probe import predict_by_probe
from pipeline.metrics.speaking import name_speaker, second_scores, shifted_cosines
from pipeline.metrics.synchrony import found_offset
from pipeline.metrics.verification import equal_error_rate
from pipeline.storage.workspace import Workspace
from pipeline.synthetic.identities import NUM_IDENTITIES
from pipeline.synthetic.lexicon import LEXICON
from pipeline.synthetic.scenes import Scene, Word
from pipeline.synthetic.truth import speaking_source
from tests.helpers.known_utterances import Judge, Utterance

FRAME_RATE_HZ = 25
NUM_OF_PERSON = 12
MIN_SPOKEN_S = 1.0
THIRDS = 3


def show(name: str, values: Any, videos: list[str], chance: float | str) -> None:
    """A line of the table: the mean of values, its interval over videos, and what chance reaches."""
    array = np.array(values, float)
    if not len(array):
        print(f"| {name} | no such clip | | |", flush=True)
        return
    low, high, num_videos = bootstrap_interval(lambda drawn: float(array[drawn].mean()), np.array(videos))
    bounds = "" if low is None else f" [{low:.3f}, {high:.3f}]"
    beside = chance if isinstance(chance, str) else f"{chance:.3f}"
    print(f"| {name} | {array.mean():.3f}{bounds} | {len(array)} of {num_videos} videos | {beside} |", flush=True)


def report_ranks(judge: Judge, test: list[Utterance], seed: int) -> None:
    """Both scales in both directions, and offsets."""
    drawn = np.random.default_rng(seed).permutation(len(test))
    gallery = list({test[number].video: test[number].clip for number in drawn}.values())[:GALLERY_VIDEOS]
    found = Utterances(judge.learner, judge.network, in_batches(gallery), seed)
    rows = [row for batch in in_batches([one.clip for one in test]) for row in found.rows(batch)]
    spoken = [one.spoken_s >= MIN_SPOKEN_S for one in test]
    for text, chosen in (("all clips", [True] * len(test)), ("spoken clips", spoken)):
        of = [(row, one.video) for row, one, is_in in zip(rows, test, chosen, strict=True) if is_in]
        videos = [video for _, video in of]
        for name, column in (("V->A", "rank_short"), ("A->V", "rank_short_lips")):
            shares = [np.mean(np.array(row[column]) == 1) for row, _ in of]
            show(f"short R@1 {name}, {text}", shares, videos, 1 / len(rows[0]["rank_short"]))
        for name, column in (("V->A", "rank_long"), ("A->V", "rank_long_lips")):
            show(f"long R@1 {name}, {text}", [row[column] == 1 for row, _ in of], videos, 1 / rows[0]["num_long"])
    of = [(row, one.video) for row, one, is_in in zip(rows, test, spoken, strict=True) if is_in]
    planted, reached = (np.array([row[name] for row, _ in of]) for name in ("planted_ms", "found_ms"))
    show("offset found within 40 ms, spoken clips", is_found(planted, reached), [v for _, v in of], "0.14")
    for least, most in ((0, 100), (101, 250), (251, 400)):
        is_in = (np.abs(planted) >= least) & (np.abs(planted) <= most)
        videos = [video for (_, video), inside in zip(of, is_in, strict=True) if inside]
        show(f"... planted {least} to {most} ms", is_found(planted, reached)[is_in], videos, "0.14")


def in_batches(clips: list[Clip]) -> Iterator[list[Clip]]:
    for at in range(0, len(clips), BATCH_SIZE):
        yield clips[at : at + BATCH_SIZE]


def report_same_person(test: list[Utterance], seed: int) -> None:
    """R@1 of spoken clips among those of other videos of the same person."""
    firsts: dict[str, list[bool]] = {"V->A": [], "A->V": []}
    videos = []
    for number, one in enumerate(test):
        others: dict[str, Utterance] = {}
        for place in np.random.default_rng([seed, number]).permutation(len(test)):
            other = test[place]
            if other.person == one.person and other.video != one.video and other.spoken_s >= MIN_SPOKEN_S:
                others.setdefault(other.video, other)
        chosen = list(others.values())[: NUM_OF_PERSON - 1]
        if one.spoken_s < MIN_SPOKEN_S or len(chosen) < NUM_OF_PERSON - 1:
            continue
        speech, lips = (torch.stack([getattr(o, side) for o in chosen]) for side in ("clip_speech", "clip_lips"))
        firsts["V->A"].append(long_rank(one.clip_lips, one.clip_speech, speech) == 1)
        firsts["A->V"].append(long_rank(one.clip_speech, one.clip_lips, lips) == 1)
        videos.append(one.video)
    for name, values in firsts.items():
        show(f"long R@1 {name} among {NUM_OF_PERSON} of one person", values, videos, 1 / NUM_OF_PERSON)


def probe(train: np.ndarray, train_classes: Any, test: np.ndarray, test_classes: Any) -> np.ndarray:
    """[N] whether each test example is classified rightly by a probe of the training examples."""
    classes = np.concatenate([np.array(train_classes), np.array(test_classes)])
    folds = np.repeat([0, 1], [len(train), len(test)])
    return (predict_by_probe(np.concatenate([train, test]), classes, folds) == classes)[folds == 1]


def report_probes(train: list[Utterance], test: list[Utterance], seed: int) -> None:
    """Who it is, lips or speech, and verification of speakers."""
    videos = [one.video for one in test]
    for side in ("lips", "speech"):
        means = [np.stack([getattr(one, side)[EDGE:-EDGE].mean(dim=0).numpy() for one in of]) for of in (train, test)]
        people = [[one.person for one in of] for of in (train, test)]
        if side == "lips":
            right = probe(means[0], people[0], means[1], people[1])
            show(
                f"identity probe of {NUM_IDENTITIES} people",
                right,
                videos,
                float(np.bincount(people[1]).max() / len(test)),
            )
        report_verification(side, means[1], test, seed)
    rng = np.random.default_rng(seed)
    features, classes = [], []
    for of in (train, test):
        steps = [rng.integers(EDGE, len(one.lips) - EDGE) for one in of]
        sides = [
            [getattr(one, side)[step].numpy() for one, step in zip(of, steps, strict=True)]
            for side in ("lips", "speech")
        ]
        features.append(np.array(sides[0] + sides[1]))
        classes.append(np.repeat([0, 1], len(of)))
    show("modality probe", probe(features[0], classes[0], features[1], classes[1]), videos * 2, 0.5)


def report_verification(side: str, means: np.ndarray, test: list[Utterance], seed: int) -> None:
    """Equal error rate over pairs of clips of different videos."""
    unit = means / (np.linalg.norm(means, axis=1, keepdims=True) + 1e-12)
    people, videos = np.array([one.person for one in test]), np.array([one.video for one in test])
    scores, is_same = [], []
    for number in range(len(test)):
        rng = np.random.default_rng([seed, number])
        for same in (True, False):
            of = np.flatnonzero(((people == people[number]) == same) & (videos != videos[number]))
            if len(of):
                scores.append(float(unit[number] @ unit[rng.choice(of)]))
                is_same.append(same)
    if len(set(is_same)) < 2:
        print(f"| verification of speakers by {side}, EER | no two clips of one person | | |")
        return
    print(
        f"| verification of speakers by {side}, EER | {equal_error_rate(scores, is_same):.3f} | {len(scores)} | 0.500 |"
    )


def report_words(train: list[Utterance], test: list[Utterance]) -> None:
    """Which word it is, of spoken words that lie in a clip as a whole, by the lips in thirds of the word."""
    features, classes, videos = [], [], []
    for of in (train, test):
        words = [(one, word) for one in of for word in one.words]
        features.append(np.array([word_features(one, word) for one, word in words]))
        classes.append([LEXICON.index(word.word) for _, word in words])
        videos.append([one.video for one, _ in words])
    if all(map(len, features)):
        right = probe(features[0], classes[0], features[1], classes[1])
        show(
            f"word of {len(LEXICON)} by linear probe",
            right,
            videos[1],
            float(np.bincount(classes[1]).max() / len(right)),
        )


def word_features(one: Utterance, word: Word) -> np.ndarray:
    """[3 D] mean embeddings of lips in the first, middle and last third of a word."""
    first, last = ((time_s - one.start_s) * FRAME_RATE_HZ for time_s in (word.start_s, word.end_s))
    frames = np.clip(np.round(np.linspace(first, last, THIRDS + 1)).astype(int), 0, len(one.lips))
    return np.concatenate([one.lips[a : max(a + 1, b)].mean(dim=0).numpy() for a, b in itertools.pairwise(frames)])


def report_speaking(test: list[Utterance]) -> None:
    """Of two faces the one whose lips agree more with what is heard, in each second in which one of them speaks."""
    together: dict[tuple[str, float], list[Utterance]] = {}
    for one in test:
        together.setdefault((one.video, one.start_s), []).append(one)
    right, alone, videos = [], [], []
    for (video, start_s), faces in sorted(together.items()):
        if len({face.person for face in faces}) != 2 or len(faces) != 2:
            continue
        scores = torch.stack([seconds_of(face) for face in faces])
        named = name_speaker(scores, -float("inf")).tolist()
        for second, who in enumerate(named):
            speaking = speaking_source(faces[0].scene, start_s + second, start_s + second + 1)
            if speaking is not None:
                right.append(faces[who].source == speaking)
                videos.append(video)
                alone.append(speaks_alone(faces[0].scene, start_s + second))
    show("of two faces the speaking one, by seconds", right, videos, 0.5)
    kept = [place for place, is_alone in enumerate(alone) if is_alone]
    show("... seconds of one of them alone", [right[p] for p in kept], [videos[p] for p in kept], 0.5)


def speaks_alone(scene: Scene, start_s: float) -> bool:
    """Whether of the speakers in view exactly one says anything within a second."""
    return sum(any(w.end_s > start_s and w.start_s < start_s + 1 for w in of.words) for of in scene.sources) == 1


def seconds_of(face: Utterance) -> torch.Tensor:
    """[S] how far the agreement of a face's lips with the sound stands out in each second of its clip."""
    heard = F.pad(face.speech, (0, 0, MAX_OFFSET, MAX_OFFSET), value=float("nan"))
    cosines = shifted_cosines(face.lips, heard)
    offset, _ = found_offset(cosines.nanmean(dim=0))
    by_second = cosines[: len(cosines) // FRAME_RATE_HZ * FRAME_RATE_HZ].unflatten(0, (-1, FRAME_RATE_HZ))
    return second_scores(by_second.nanmean(dim=1), int(offset))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("--model", default="lipreading")
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-train-clips", type=int, default=600)
    options = parser.parse_args()
    began_s = time.monotonic()
    workspace = Workspace(options.root)
    judge = Judge(workspace, options.model, options.untrained)
    settings = workspace.stage(f"models/{options.model}")["settings"]
    sets = load_sets(workspace, judge.learner, settings, ("train", "test"), workspace.parts("clips/speech"))
    some = np.random.default_rng(options.seed).permutation(len(sets[0]))[: options.max_train_clips]
    train, test = (
        list(judge.utterances(sets[0], np.sort(some))),
        list(judge.utterances(sets[1], np.arange(len(sets[1])))),
    )
    spoken = np.mean([one.spoken_s >= MIN_SPOKEN_S for one in test])
    what = "untrained network" if options.untrained else options.model
    of_videos = f"{len(test)} clips of {sets[1].num_videos} held-out videos, {spoken:.0%} of them spoken"
    print(f"{what}: {of_videos}; probes are fitted to {len(train)} clips\n")
    print("| of | value | n | chance |\n|---|---|---|---|")
    report_ranks(judge, test, options.seed)
    report_same_person(test, options.seed)
    report_probes(train, test, options.seed)
    report_words(train, test)
    report_speaking(test)
    print(f"\n{time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main()
