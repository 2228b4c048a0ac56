"""Figures of named words, by hand, from rows as evaluation leaves them."""

from pathlib import Path

import pytest

from pipeline.clips.splitting import SplittingConfig
from pipeline.evaluation.word_evaluation import WordEvaluation
from pipeline.hashing import as_dict
from pipeline.learners import LEARNERS
from pipeline.storage.workspace import Workspace
from schemas.fields import from_rows
from schemas.utterances import UTTERANCES

SETTINGS = {
    "learner": "lipreading",
    "lipreading": {"task": "words", "vocabulary": ["bell", "horn", "drum", "lute"]},
    "splitting": as_dict(SplittingConfig()),
}


def figures(folder: Path, said: list[tuple[str, str]]) -> dict[str, tuple[float | None, int]]:
    workspace = Workspace(str(folder))
    workspace.begin("models/words", SETTINGS, {})
    evaluation = WordEvaluation(workspace, "words")
    rows = [
        dict.fromkeys(UTTERANCES.names)
        | {"clip_id": f"{number}_speech_f0", "video_id": f"v{number // 2}", "word": word, "predicted": predicted}
        for number, (word, predicted) in enumerate(said)
    ]
    workspace.commit(evaluation.table(UTTERANCES), "00000", from_rows(rows, UTTERANCES, "00000"), UTTERANCES)
    return {row["metric"]: (row["value"], row["n"]) for row in evaluation.summarise()}


def test_accuracy_is_beside_chance_and_the_commonest_word(tmp_path: Path) -> None:
    said = [("bell", "bell"), ("bell", "horn"), ("horn", "horn"), ("gong", "bell"), ("bell", "bell")]
    assert figures(tmp_path, said) == {
        "word_accuracy": (pytest.approx(3 / 5), 5),
        "commonest_word": (pytest.approx(3 / 5), 5),  # bell
        "untaught_share": (pytest.approx(1 / 5), 5),  # gong
        "chance": (1 / 4, 5),
    }


def test_without_test_words_there_is_no_accuracy(tmp_path: Path) -> None:
    found = figures(tmp_path, [])
    assert (found["word_accuracy"], found["untaught_share"]) == ((None, 0), (None, 0))


def test_the_registry_names_the_evaluation_of_the_task() -> None:
    entry = LEARNERS["lipreading"]
    assert entry.evaluation_of(SETTINGS) is WordEvaluation
    assert entry.evaluation_of(SETTINGS | {"lipreading": {"task": "contrast"}}) is entry.evaluation()
