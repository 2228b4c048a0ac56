"""A workspace from Python: its tables and answers of SQL as data frames, its clips as samples.

    import earshot

    root = earshot.open("my_workspace")
    root.table("summary").pandas()
    root.sql("SELECT eval_set, median(si_snr_db) FROM examples GROUP BY 1").polars()
    for clip in root.clips(selection="strict", split="train"):
        clip.waveform, clip.frames, clip.facts["license"]

Everything is read: nothing here writes to a workspace. Views, columns and functions are those of `earshot query`.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
from torch.utils.data import Dataset, Sampler

from pipeline import VERSION as __version__
from pipeline.clip_specs import BASE
from pipeline.clips.samples import Clip
from pipeline.clips.splitting import SplittingConfig
from pipeline.config import from_dict
from pipeline.errors import ConfigError, did_you_mean
from pipeline.outside.imported_types import imported_schemas
from pipeline.reports.convenience_views import VIEWS
from pipeline.reports.querying import query, tables
from pipeline.storage import files
from pipeline.storage.layout import SETTINGS_FILE
from pipeline.storage.workspace import Workspace, open_workspace
from pipeline.training.batching import ClipSet, step_rng
from pipeline.training.clipsets import load_clips, load_splits
from schemas.fields import table_name
from schemas.videos import SPLITS

if TYPE_CHECKING:
    import duckdb
    import pandas
    import polars

__all__ = ["Answer", "Clip", "ClipOrder", "Clips", "Root", "__version__", "open"]


def open(root: str) -> "Root":
    """The workspace at a folder or s3:// address.

    Raises:
        ConfigError: no Earshot command has written there.
    """
    return Root(open_workspace(root))


class Root:
    """A workspace, as `open` gives it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __repr__(self) -> str:
        return f"earshot.open({self._workspace.root!r})"

    @property
    def names(self) -> list[str]:
        """Names of all tables and views, whether the stage behind them has run or not, and of imported tables."""
        return [*dict.fromkeys(map(table_name, tables())), *VIEWS, *imported_schemas(self._workspace)]

    def table(self, name: str) -> "Answer":
        """All rows of a table or view of `names`.

        Raises:
            ConfigError: there is none of that name.
            DataError: a part is damaged, or of another version of its schema.
        """
        if name not in (names := self.names):
            raise ConfigError(f"table {name}: expected one of {', '.join(names)}.{did_you_mean(name, names)}")
        return self.sql(f"SELECT * FROM {name}")

    def sql(self, sql: str, **own: str) -> "Answer":
        """The answer of one SELECT, in DuckDB's SQL.

        Args:
            sql: the SELECT.
            **own: CSV or Parquet files that are views too, by the name that each has in the SQL.
        Raises:
            ConfigError: the SQL is wrong or no SELECT, or a name or file of `own` cannot be used.
            DataError: a part or file is damaged, or a part of another version of its schema.
        """
        return Answer(query(self._workspace, sql, own))

    def clips(
        self, selection: str | None = None, split: str = "train", spec: str = BASE, *, labelled: bool = False
    ) -> "Clips":
        """Clips of one split, ordered by part and place in its tar.

        Args:
            selection: those that the selection of this name keeps; None: every clip that was cut and kept.
            split: train, validate or test.
            spec: the clip spec, such as base or events; selections are of base.
            labelled: with a selection: also clips that people labelled, whatever rule of the selection refused them but
                one about their whole video. This is what separation trains on.
        Raises:
            ConfigError: there is no such split, no such selection or spec, or no clip was cut.
        """
        if split not in SPLITS:
            raise ConfigError(f"split {split}: expected one of {', '.join(SPLITS)}.")
        if selection is None:
            if labelled:
                raise ConfigError("labelled = True: expected it with a selection; without one all clips are there.")
            stored = json.loads(files.read_bytes(self._workspace.uri(SETTINGS_FILE)))["splitting"]
            parts = self._workspace.require(f"videos/{spec}")
            (found,) = load_splits(self._workspace, (split,), from_dict(SplittingConfig, stored), parts, spec)
        else:
            if spec != BASE:
                raise ConfigError(f"spec = {spec}: expected {BASE} with a selection.")
            found = load_clips(self._workspace, selection, split, labelled=labelled)
        return Clips(self._workspace, f"clips/{spec}", found.rows)


class Answer:
    """Rows of a table or of an answer, in the form that one works with."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        return f"{len(self._table)} rows of {', '.join(self._table.column_names)}"

    def arrow(self) -> pa.Table:
        """As Arrow; nothing is copied."""
        return self._table

    def rows(self) -> list[dict[str, Any]]:
        """As a list of dicts."""
        rows: list[dict[str, Any]] = self._table.to_pylist()
        return rows

    def pandas(self) -> "pandas.DataFrame":
        """As a pandas DataFrame with Arrow's types, so that whole numbers beside a null stay whole."""
        import pandas

        return self._table.to_pandas(types_mapper=pandas.ArrowDtype)

    def polars(self) -> "polars.DataFrame":
        """As a Polars DataFrame; `pip install polars` where it is missing."""
        import polars

        frame = polars.from_arrow(self._table)
        assert isinstance(frame, polars.DataFrame)
        return frame

    def duckdb(self) -> "duckdb.DuckDBPyRelation":
        """As a DuckDB relation of the default connection."""
        import duckdb

        return duckdb.from_arrow(self._table)


class Clips(Dataset[Clip]):
    """Clips that are read one by one, in any order: a sequence, and a map-style torch dataset.

    Its workers may be processes: each opens the tars for itself.
    """

    def __init__(self, workspace: Workspace, folder: str, rows: pa.Table) -> None:
        self._workspace, self._folder, self.rows = workspace, folder, rows
        """[clips] rows: clip_id, video_id, part, place in its tar; of a selection also kept and label."""
        self._clips: ClipSet[Clip] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Clip:
        """The clip of row `number`.

        Raises:
            IndexError: there are fewer.
            DataError: its tar is missing, truncated, damaged, or holds another clip there.
        """
        if not -len(self) <= number < len(self):
            raise IndexError(f"clip {number}: there are {len(self)}.")
        if self._clips is None:
            self._clips = ClipSet(self._workspace, self._folder, self.rows, cache_bytes=0)
        return self._clips.read(number % len(self))

    def __iter__(self) -> Iterator[Clip]:
        return (self[number] for number in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_clips": None}  # of another process: threads do not travel

    def order(
        self, seed: int = 0, start: int = 0, epochs: int | None = 1, rank: int = 0, world_size: int = 1
    ) -> "ClipOrder":
        """An order in which a DataLoader draws these clips: see `ClipOrder`."""
        return ClipOrder(len(self), seed, start, epochs, rank, world_size)

    @staticmethod
    def collate(clips: list[Clip]) -> dict[str, Any]:
        """A batch, for `DataLoader(collate_fn=)`: waveform [B, T], frames [B, K, 3, H, W] uint8, and clip_id."""
        return {
            "clip_id": [clip.key for clip in clips],
            "waveform": torch.stack([torch.from_numpy(clip.waveform) for clip in clips]),
            "frames": torch.stack([torch.from_numpy(clip.frames.copy()) for clip in clips]),
        }


class ClipOrder(Sampler[int]):
    """Another random order in each epoch, whose place is one integer.

    The clip at a place depends on the seed and the place alone: a run that had drawn `start` clips goes on with
    `start=start` as if it had never stopped, with any number of DataLoader workers. Over several processes, each takes
    every `world_size`-th place, so that together they draw each clip once.

    Args:
        num_clips: how many there are.
        seed: of the orders.
        start: places of all processes together that were drawn before.
        epochs: how many there are in all, counted from place 0; None never ends.
        rank, world_size: this process, and how many there are.
    """

    def __init__(
        self, num_clips: int, seed: int = 0, start: int = 0, epochs: int | None = 1, rank: int = 0, world_size: int = 1
    ) -> None:
        if start < 0 or not 0 <= rank < world_size:
            raise ConfigError(
                f"start = {start}, rank = {rank}, world_size = {world_size}: expected 0 or more, and a rank below it."
            )
        self._num_clips, self._seed, self._start, self._epochs = num_clips, seed, start, epochs
        self._rank, self._world_size = rank, world_size

    def __iter__(self) -> Iterator[int]:
        if not self._num_clips:
            return
        place, epoch, order = self._start + self._rank, -1, []
        while self._epochs is None or place < self._epochs * self._num_clips:
            if place // self._num_clips != epoch:
                epoch = place // self._num_clips
                order = step_rng(self._seed, epoch).permutation(self._num_clips).tolist()
            yield order[place % self._num_clips]
            place += self._world_size

    def __len__(self) -> int:
        if self._epochs is None:
            raise TypeError("an order without an end has no length")
        left = self._epochs * self._num_clips - self._start - self._rank
        return max(0, -(-left // self._world_size))
