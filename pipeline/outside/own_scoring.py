"""Clip -> what a scorer of the user's own says of it: one row per kept clip, in the order of the part's tar.

A clip for which the scorer raises, or that cannot be decoded, gets a row without values: one odd clip in millions must
not stop a run of days. Where a batch raises, its clips are tried one by one. If none of several clips of a part can be
scored, the clips are not the cause: the part is an error.
"""

import collections
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from pipeline.clips.samples import Clip
from pipeline.errors import DataError
from pipeline.outside.imported_types import schema_of
from pipeline.outside.scorers import ScorerClass, Scores, batch_size_of, checked, stored_columns
from pipeline.storage.layout import IMPORTED
from pipeline.storage.workspace import Workspace
from pipeline.training.reading import read_clips
from schemas.clips import CLIPS
from schemas.fields import from_rows

MAX_NAMED = 5


@dataclass
class ScoredPart:
    """What came of a part."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    """Clips with values (`clips`), without because they are `damaged`, and because the scorer `raised`."""
    raised: dict[str, str] = field(default_factory=dict)
    """The first few of the last kind, with what was raised."""


class ScoreOwnPart:
    """Scores one part of clips by a class of the user's. Makes it at its first part, and keeps it.

    Args:
        workspace: where the clips lie.
        spec: their clip spec.
        table: name of the imported table.
        scorer: the class.
        columns: as it declares them.
    """

    def __init__(
        self, workspace: Workspace, spec: str, table: str, scorer: ScorerClass, columns: Mapping[str, str]
    ) -> None:
        self._workspace, self._folder, self._table = workspace, f"clips/{spec}", table
        self._scorer, self._columns = scorer, columns
        self._made: tuple[Scores, int] | None = None

    def __call__(self, part: str) -> ScoredPart:
        """Score every kept clip of the part and commit the rows.

        Raises:
            ConfigError: the scorer cannot be made here, or its answer is not what it has declared.
            DataError: the tar is not what its rows promise, or none of its several clips can be scored.
        """
        self._made = self._made or self._make()
        scores, batch_size = self._made
        rows = self._workspace.read(self._folder, part, CLIPS, ["clip_id", "outcome"]).to_pylist()
        kept = [row["clip_id"] for row in rows if row["outcome"] == "kept"]
        found: dict[str, dict[str, Any]] = {}
        damaged: dict[str, DataError] = {}
        raised: dict[str, Exception] = {}
        for clips in read_clips(self._workspace, self._folder, part, kept, batch_size, damaged):
            found |= {row["clip_id"]: row for row in self._score(scores, clips, raised)}
        if len(raised) > 1 and not found:
            clip, error = next(iter(raised.items()))
            raise DataError(
                f"scorer {self._scorer.name}: it raises for each of {len(raised)} clips of part {part}; for {clip} "
                f"{_format(error)}"
            ) from error
        schema = schema_of(self._table, stored_columns(self._columns))
        table = from_rows([found.get(clip, {"clip_id": clip}) for clip in kept], schema, f"part {part}")
        self._workspace.commit(f"{IMPORTED}/{self._table}", part, table, schema)
        counts = collections.Counter(clips=len(found), damaged=len(damaged), raised=len(raised))
        return ScoredPart(counts, {clip: _format(error) for clip, error in list(raised.items())[:MAX_NAMED]})

    def _make(self) -> tuple[Scores, int]:
        scores = self._scorer.make("cuda" if torch.cuda.is_available() else "cpu")
        return scores, batch_size_of(scores, self._scorer.name)

    def _score(self, scores: Scores, clips: list[Clip], raised: dict[str, Exception]) -> list[dict[str, Any]]:
        """Rows of the clips, without those for which the scorer raises."""
        for clip in clips:  # it may be called again with the same: what it would change, it must copy
            for array in (clip.frames, *clip.waveforms.values()):
                array.flags.writeable = False
        try:
            answers = scores(clips)
        except Exception as error:  # noqa: BLE001  the class is not ours: whatever it raises, it raises of a clip
            if len(clips) > 1:
                return [row for clip in clips for row in self._score(scores, [clip], raised)]
            raised[clips[0].key] = error
            return []
        return checked(answers, clips, self._columns, self._scorer.name)


def _format(error: Exception) -> str:
    """Type and first line of an error."""
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}".rstrip(": ")
