"""docs/queries.md: each query runs as it is printed, and its answer is what plain Python finds in the same rows."""

import collections
import re
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.reports.querying import query
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.mixtures import MIXTURES
from schemas.reports import EXAMPLES, OPERATING_POINTS, SUMMARY
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.usage import USAGE
from schemas.videos import VIDEOS

PAGE = (Path(__file__).parent.parent / "docs" / "queries.md").read_text()
QUERIES = dict(re.findall(r"^## (.*?)\n.*?```sql\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
NUM_VIDEOS, CLIPS_OF_VIDEO, NUM_EXAMPLES, MODELS = 12, 6, 60, ("one", "two")
Rows = list[dict[str, Any]]


class World:
    """Rows of every table that the page asks about, drawn from one seed."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.videos = [self._video(number) for number in range(NUM_VIDEOS)]
        self.clips = [self._clip(video, place, rng) for video in self.videos[:-3] for place in range(CLIPS_OF_VIDEO)]
        self.kept = [clip for clip in self.clips if clip["outcome"] == "kept"]
        self.scores = [
            {"clip_id": clip["clip_id"], "video_id": clip["video_id"], "score": float(np.float32(rng.random()))}
            for clip in self.kept[:-4]
        ]
        self.selections = [self._decision(clip, rng) for clip in self.kept]
        self.mixtures = [self._mixture(number) for number in range(NUM_EXAMPLES)]
        self.examples = {model: [self._example(number, rng) for number in range(NUM_EXAMPLES)] for model in MODELS}
        self.points = {
            model: [{"logit_shift": float(shift), "off_mom_osr_db": 10.0 - shift} for shift in (-1, 0, 1)]
            for model in MODELS
        }
        self.summary = {
            model: [
                {"eval_set": "on_mom", "metric": metric, "value": float(rng.normal()), "unit": "dB", "n": 3}
                for metric in ("median_si_snr_db", "worse_share")
            ]
            for model in MODELS
        }
        self.usage = [
            {
                "part": f"{part:05d}",
                "host": "here",
                "cpu_s": 100.0 * part,
                "gpu_s": 0.0,
                "wall_s": 60.0,
                "peak_bytes": 10**9 + part,
                "finished": "2026-11-30T10:00:00+00:00",
            }
            for part in range(3)
        ]
        self.workspace = Workspace(str(folder / "root"))
        self._commit()
        self.votes = {clip["clip_id"]: int(rng.integers(2)) for clip in self.kept[::2]}
        self.votes_file = folder / "votes.csv"
        self.votes_file.write_text("clip_id,vote\n" + "".join(f"{k},{v}\n" for k, v in self.votes.items()))

    def _video(self, number: int) -> dict[str, Any]:
        outcome = "kept" if number < NUM_VIDEOS - 3 else ("no_audio", "unreadable")[number % 2]
        row = {
            "video_id": f"v{number:02d}",
            "uri": f"{number}.mp4",
            "part": f"{number % 2:05d}",
            "rights": "unknown",
            "num_clips": 6,
        }
        return row | {"outcome": outcome, "license": ("CC0", "CC-BY-4.0", None)[number % 3], "detail": f"d{number}"}

    def _clip(self, video: dict[str, Any], place: int, rng: np.random.Generator) -> dict[str, Any]:
        return {
            "clip_id": f"{video['video_id']}_{place * 20_000:08d}",
            "video_id": video["video_id"],
            "start_s": place * 20.0,
            "duration_s": 5.0,
            "part": video["part"],
            "num_frames": 5,
            "loudness_lufs": float(rng.uniform(-45, -12)),
            "luma": float(rng.random()),
            "outcome": "silent" if rng.random() < 0.2 else "kept",
        }

    def _decision(self, clip: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        reason = ("kept", "low_score", "too_quiet")[rng.integers(3)]
        row = {name: clip[name] for name in ("clip_id", "video_id", "part")}
        split = ("train", "validate")[int(clip["video_id"][1:]) % 2]
        return row | {"kept": reason == "kept", "reason": reason, "split": split, "unique_s": float(rng.uniform(1, 5))}

    def _mixture(self, number: int) -> dict[str, Any]:
        clip_id = self.kept[number % len(self.kept)]["clip_id"]
        ids = {"first_clip_id": clip_id, "sound_clip_id": clip_id, "second_clip_id": "other"}
        row = {"example_id": f"e{number:03d}", "eval_set": "on_mom", "kind": "NOn", "split": "test"}
        return row | ids | {"label_source": "labels.csv", "part": "on_mom-00000"}

    def _example(self, number: int, rng: np.random.Generator) -> dict[str, Any]:
        clip = self.kept[number % len(self.kept)]
        row = {"example_id": f"e{number:03d}", "eval_set": "on_mom", "video_id": clip["video_id"]}
        row |= {"num_references": 2, "num_active_sources": 2, "power_first": 1.0, "power_second": 1.0}
        gain_db = float(rng.normal(4, 3))
        return row | {"product_first_second": 0.0, "si_snr_db": gain_db - 2, "si_snr_improvement_db": gain_db}

    def _commit(self) -> None:
        put: Callable[[str, str, Rows, pa.Schema], Any] = lambda stage, part, rows, schema: self.workspace.commit(  # noqa: E731
            stage, part, from_rows(rows, schema, stage), schema
        )
        put("videos/base", "00000", self.videos, VIDEOS)
        put("clips/base", "00000", self.clips, CLIPS)
        put("scores/coincidence", "00000", self.scores, SCORES)
        put("selections/strict", "00000", self.selections, SELECTIONS)
        put("mixtures/top", "on_mom-00000", self.mixtures, MIXTURES)
        put("usage/clips-base", "00000", self.usage, USAGE)
        for model in MODELS:
            put(f"examples/{model}/top", "00000", self.examples[model], EXAMPLES)
            put(f"operating_points/{model}/top", "00000", self.points[model], OPERATING_POINTS)
            put(f"summary/{model}/top", "00000", self.summary[model], SUMMARY)

    def with_clip(self, model: str) -> Rows:
        """Examples of a model, with their clip's row and score."""
        scores = {row["clip_id"]: row["score"] for row in self.scores}
        clips = {row["clip_id"]: row for row in self.clips}
        found = []
        for example, mixture in zip(self.examples[model], self.mixtures, strict=True):
            clip_id = mixture["first_clip_id"]
            found.append({**clips[clip_id], "score": scores.get(clip_id), **example})
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("queries"))


def grouped(rows: Iterable[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> dict[Any, Rows]:
    found: dict[Any, Rows] = collections.defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def median(rows: Rows, name: str) -> float:
    return statistics.median(row[name] for row in rows)


def interval(values: list[float], videos: list[str]) -> tuple[Any, ...]:
    order = sorted(range(len(values)), key=lambda place: (videos[place], values[place]))
    found, groups = np.array(values)[order], np.array(videos)[order]
    bounds = bootstrap_interval(lambda drawn: float(np.median(found[drawn])), groups)
    return float(np.median(found)), bounds.low, bounds.high, bounds.num_groups


def sure(world: World) -> list[tuple[Any, ...]]:
    return [
        (model, "on_mom", *interval([r["si_snr_db"] for r in rows], [r["video_id"] for r in rows]))
        for model, rows in world.examples.items()
    ]


def points(world: World) -> list[tuple[Any, ...]]:
    rows = [(model, row) for model in MODELS for row in world.points[model]]
    return [(m, row["logit_shift"], None, row["off_mom_osr_db"], row["logit_shift"] == 0) for m, row in rows]


def by_decile(world: World) -> list[tuple[Any, ...]]:
    found = []
    for model in MODELS:
        rows = [row for row in world.with_clip(model) if row["score"] is not None]
        rows.sort(key=lambda row: (row["score"], row["example_id"]))
        for decile, part in enumerate(np.array_split(np.arange(len(rows)), 10), 1):  # larger ones first, as ntile
            chosen = [rows[place] for place in part]
            mean = statistics.mean(row["score"] for row in chosen)
            found.append((model, decile, len(chosen), mean, median(chosen, "si_snr_improvement_db")))
    return found


def by_loudness(world: World) -> list[tuple[Any, ...]]:
    found = []
    for model in MODELS:
        bins = grouped(world.with_clip(model), lambda row: row["loudness_lufs"] // 6 * 6)
        found += [(model, low, len(rows), median(rows, "si_snr_db")) for low, rows in sorted(bins.items())]
    return found


def worst(world: World) -> list[tuple[Any, ...]]:
    uris = {row["video_id"]: row["uri"] for row in world.videos}
    found = []
    for model in MODELS:
        rows = sorted(world.with_clip(model), key=lambda row: row["si_snr_improvement_db"])[:5]
        for row in rows:
            place = (uris[row["video_id"]], row["start_s"], row["clip_id"], "other")
            found.append((model, row["example_id"], row["si_snr_improvement_db"], *place))
    return found


def which_of_two(world: World) -> list[tuple[Any, ...]]:
    found = []
    for model, other in (MODELS, MODELS[::-1]):
        pairs = list(zip(world.examples[model], world.examples[other], strict=True))
        differences = [a["si_snr_db"] - b["si_snr_db"] for a, b in pairs]
        value, low, high, _ = interval(differences, [a["video_id"] for a, _ in pairs])
        found.append((model, other, value, low, high, len(pairs), low > 0))
    return sorted(found, key=lambda row: -row[2])


def best(world: World) -> list[tuple[Any, ...]]:
    found = []
    for place, sign in ((0, 1), (1, -1)):  # of the share of worse examples the lowest
        model = max(MODELS, key=lambda name: sign * world.summary[name][place]["value"])
        row = world.summary[model][place]
        found.append(("on_mom", row["metric"], model, row["value"], None, None, "dB"))
    return found


def hours(world: World) -> list[tuple[Any, ...]]:
    licences = {row["video_id"]: row["license"] for row in world.videos}
    kept = [row for row in world.selections if row["kept"]]
    found = [
        ("strict", name, len(rows), len({row["video_id"] for row in rows}), sum(row["unique_s"] for row in rows) / 3600)
        for name, rows in grouped(kept, lambda row: licences[row["video_id"]]).items()
    ]
    return sorted(found, key=lambda row: -row[4])


def refused(world: World) -> list[tuple[Any, ...]]:
    found = []
    for split, rows in grouped(world.selections, lambda row: row["split"]).items():
        counts = collections.Counter(row["reason"] for row in rows)
        found += [("strict", split, reason, n, n / len(rows)) for reason, n in counts.items()]
    return sorted(found, key=lambda row: (row[1], -row[3], row[2]))


def lost(world: World) -> list[tuple[Any, ...]]:
    counts = collections.Counter((row["start_s"] // 60, row["outcome"]) for row in world.clips)
    return sorted(
        (("base", minute, outcome, n) for (minute, outcome), n in counts.items()),
        key=lambda row: (row[1], -row[3], row[2]),
    )


def drift(world: World) -> list[tuple[Any, ...]]:
    scores = {row["clip_id"]: row["score"] for row in world.scores}
    found = []
    for part, rows in sorted(grouped(world.clips, lambda row: row["part"]).items()):
        scored = [scores[row["clip_id"]] for row in rows if row["clip_id"] in scores]
        kept = statistics.mean(row["outcome"] == "kept" for row in rows)
        found.append(
            (part, len(rows), kept, median(rows, "loudness_lufs"), median(rows, "luma"), statistics.median(scored))
        )
    return found


def nothing(world: World) -> list[tuple[Any, ...]]:
    refused_videos = grouped((row for row in world.videos if row["outcome"] != "kept"), lambda row: row["outcome"])
    found = [("base", name, len(rows), min(row["detail"] for row in rows)) for name, rows in refused_videos.items()]
    return sorted(found, key=lambda row: (-row[2], row[1]))


def cost(world: World) -> list[tuple[Any, ...]]:
    return [("clips-base", 3, 300 / 3600, 0.0, 1.000000002)]


def votes(world: World) -> list[tuple[Any, ...]]:
    scored = [(world.votes[row["clip_id"]], row["score"]) for row in world.scores if row["clip_id"] in world.votes]
    by_vote = {vote: [score for own, score in scored if own == vote] for vote in (0, 1)}
    return [(vote, len(found), statistics.mean(found)) for vote, found in by_vote.items()]


EXPECTED: dict[str, Callable[[World], list[tuple[Any, ...]]]] = {
    "How good is each model, and how sure is that?": sure,
    "What does suppression cost at each operating point?": points,
    "Does separation work where sound and picture belong together?": by_decile,
    "Is a quiet clip harder than a loud one?": by_loudness,
    "Which examples are worst, and where are they to be seen and heard?": worst,
    "Which of two models is better on the same examples?": which_of_two,
    "Which model is best in which figure?": best,
    "How many hours may be used under which licence?": hours,
    "Why were clips refused?": refused,
    "Where in long videos are clips lost?": lost,
    "Did the corpus change from part to part?": drift,
    "Which videos gave nothing, and what did their files say?": nothing,
    "What did a stage cost?": cost,
    "How do one's own votes agree with the model?": votes,
}


def test_each_question_of_the_page_has_an_answer_here() -> None:
    assert list(QUERIES) == list(EXPECTED)


@pytest.mark.parametrize("question", EXPECTED)
def test_an_answer_is_what_plain_python_finds(world: World, question: str) -> None:
    own = {"votes": str(world.votes_file)} if "votes" in QUERIES[question] else {}
    answer = [tuple(row.values()) for row in query(world.workspace, QUERIES[question], own).to_pylist()]
    expected = EXPECTED[question](world)
    assert len(expected) > 0
    assert [tuple(map(approximate, row)) for row in answer] == [tuple(row) for row in expected]


def approximate(value: Any) -> Any:
    """A number to compare, to rounding."""
    return pytest.approx(float(value), rel=1e-6, abs=1e-9) if isinstance(value, float) else value
