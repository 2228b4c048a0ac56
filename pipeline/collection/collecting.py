"""A collection's videos -> parts. A part is a set of videos that are cut together; a video keeps its part.

In: the rows of `list_videos`. Out: `collection/<part>.parquet`. A collection may grow: videos seen before, known by
their id or their address, keep their part, and new ones get new parts; what the collection declares of their rights now
takes the place of what it declared before. A rejected video that is retried moves to a new part: it is written into the
new part first and taken out of the old one last. After a crash between the two it is in both; the later part counts,
and the next plan completes the move.
"""

import collections
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.collection.known_videos import (
    Known,
    Listing,
    declared_now,
    declared_of,
    hash_declared,
    hash_spans,
)
from pipeline.config import Count, config_dataclass
from pipeline.errors import ConfigError, DataError, MissingError, did_you_mean
from pipeline.storage import files
from pipeline.storage.layout import COLLECTION_FOLDER, MASKS_FOLDER, SPANS_FOLDER
from pipeline.storage.tombstones import taken_down
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.masks import MASKS
from schemas.outcomes import REJECTED
from schemas.selections import SELECTIONS
from schemas.spans import SPANS
from schemas.tracks import TRACKS
from schemas.videos import COLLECTION, DECLARED, VIDEOS, CollectionRow

# Requests in flight: an object store answers one in 30 ms, and 200 k videos have 2 500 parts.
NUM_THREADS = 8
SELECTIONS_FOLDER = "selections"


@config_dataclass
class CollectingConfig:
    """How a collection is split into parts."""

    videos_per_part: Count = 80
    """Videos in a part: the unit of retry and of parallelism. 80 videos of 45 s make a tar of about 320 MB."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """What `plan_parts` found in a listing of the collection."""

    num_new: int
    """Videos that were not seen before."""
    num_retried: int
    """Rejected ones that got a new part."""
    not_retried: tuple[str, ...]
    """Addresses of those that ended in an outcome of `retry` for one clip spec and gave clips of another: these clips
    hold them in their part."""
    changed: tuple[str, ...]
    """Addresses of videos that have changed since they got their part, which they keep: another size or revision at the
    same address, another size at another address, or other spans. A table has no sizes, so only spans are compared if
    either listing was a table."""
    gone: tuple[str, ...]
    """Addresses of known videos that the listing no longer has. They keep their clips."""
    num_elsewhere: int
    """Known videos whose address is another than the one they got their part with. A collection may move; but an id
    depends on the address below the collection alone, so they may be other videos of the same names."""
    elsewhere: tuple[str, str] | None
    """The address then and now of the first of them."""
    num_taken_down: int = 0
    """Videos that the collection has and a takedown removed: they are left out."""
    other_files: Mapping[str, tuple[str, int]] = dataclasses.field(default_factory=dict)
    """Address and size in bytes of each of `changed` whose file is another, by video_id."""
    moved_files: Mapping[str, tuple[str, int]] = dataclasses.field(default_factory=dict)
    """Address and size in bytes, or 0, of each video that is elsewhere and of whose rights the collection says
    something other than a refusal, by video_id."""


def plan_parts(
    workspace: Workspace, videos: Iterable[CollectionRow], config: CollectingConfig, retry: Sequence[str] = ()
) -> Planned:
    """Write the parts of `collection/` that the workspace lacks, and complete a move that a crash interrupted.

    Args:
        workspace: the videos it knows keep their parts.
        videos: the collection's, from `list_videos`.
        config: how many videos make a part.
        retry: outcomes of `videos/`, such as missing: the videos that ended so, if any, move to new parts, with the
            address, size and spans that the collection gives them now.
    Raises:
        ConfigError: the rest of the collection cannot be listed, two of its videos have one id, none of them is known
            though others are (then nothing is written), or `retry` names an outcome that rejects no video.
        DataError: a part that is cut has lost its `collection/`.
    """
    for outcome in retry:
        if outcome not in REJECTED:
            why = "nothing is wrong with those" if outcome == "kept" else "no reason why a video is rejected"
            near = did_you_mean(outcome, REJECTED)
            raise ConfigError(f"retry {outcome}: {why}. Expected one of {', '.join(REJECTED)}.{near}")
    parts = _whole_parts(workspace)
    known, moved = _read_known(workspace, parts)
    again, held = _rejected(workspace, retry, known) if retry else (set(), set())
    _take_out(workspace, moved)
    leaving: dict[str, set[str]] = collections.defaultdict(set)
    for video_id in again:
        leaving[known[video_id].part].add(video_id)
    declared = {
        row["video_id"]: declared_of(row)
        for part, ids in leaving.items()
        for row in _select(
            workspace.read(COLLECTION_FOLDER, part, COLLECTION, ["video_id", *DECLARED]), ids
        ).to_pylist()
    }
    listing = Listing(known, declared, taken_down(workspace))

    def new_rows() -> Iterator[CollectionRow]:
        yield from listing.new_rows(videos)
        for part, ids in sorted(leaving.items()):  # retried videos that are no longer listed
            yield from _select(workspace.read(COLLECTION_FOLDER, part, COLLECTION), ids - listing.seen).to_pylist()

    _commit_parts(workspace, new_rows(), config.videos_per_part, len(parts), lambda: listing.is_related)
    gone = tuple(before.uri for video_id, before in known.items() if video_id not in listing.seen)
    if not listing.is_related:
        raise ConfigError(
            f"root {workspace.root}: none of its {len(known)} videos, such as {gone[0]}, is among the "
            f"{len(listing.seen)} of this collection. A root holds one collection, which may grow: give the one that "
            "it was made from, a table of both, or another root."
        )
    _take_out(workspace, leaving)
    _declare(workspace, known, listing.declared())
    return Planned(
        num_new=len(listing.seen - known.keys()),
        num_retried=len(again),
        not_retried=tuple(known[video_id].uri for video_id in sorted(held)),
        changed=tuple(listing.changed),
        gone=gone,
        num_elsewhere=listing.num_elsewhere,
        elsewhere=listing.elsewhere,
        num_taken_down=listing.num_taken_down,
        other_files=listing.other_files,
        moved_files=listing.moved_files,
    )


def _whole_parts(workspace: Workspace) -> list[str]:
    """The parts in order. Parts after a gap, left by a crash, are removed, so that planning again gives the same parts.

    Parts are committed several at a time and cut only once all are there, so no part after a gap is cut.

    Raises:
        DataError: one is cut all the same: planning would move its videos to other parts.
    """
    parts = sorted(workspace.parts(COLLECTION_FOLDER), key=int)
    num_whole = next((index for index, part in enumerate(parts) if int(part) != index), len(parts))
    of_specs = (workspace.parts(f"videos/{spec}") for spec in workspace.names("videos"))
    cut = sorted(set(itertools.chain.from_iterable(of_specs)) - set(parts[:num_whole]), key=int)
    if cut:
        uri = workspace.part_uri(COLLECTION_FOLDER, f"{num_whole:05d}")
        raise DataError(f"{uri}: missing, though part {cut[0]} is cut. Put it back, or begin anew in another root.")
    for part in parts[num_whole:]:
        files.delete(workspace.part_uri(COLLECTION_FOLDER, part))
    return parts[:num_whole]


def _read_known(workspace: Workspace, parts: Sequence[str]) -> tuple[dict[str, Known], dict[str, set[str]]]:
    """Every video's latest part and how it was listed; and by part, the videos that are in a later one too."""
    names = ["video_id", "uri", "size_bytes", "revision", "spans", *DECLARED]
    known: dict[str, Known] = {}
    moved: dict[str, set[str]] = collections.defaultdict(set)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        tables = pool.map(lambda part: workspace.read(COLLECTION_FOLDER, part, COLLECTION, names), parts)
        for part, table in zip(parts, tables, strict=True):
            for row in table.to_pylist():
                if row["video_id"] in known:
                    moved[known[row["video_id"]].part].add(row["video_id"])
                hashes = hash_spans(row["spans"]), hash_declared(declared_of(row))
                known[row["video_id"]] = Known(part, row["uri"], row["size_bytes"], row["revision"], *hashes)
    return known, moved


def _rejected(workspace: Workspace, retry: Sequence[str], known: dict[str, Known]) -> tuple[set[str], set[str]]:
    """The videos whose outcome for a clip spec is in `retry` and that have not moved since: those that gave no clip of
    any spec, and the others."""
    found: set[str] = set()
    kept: set[str] = set()
    cut = [(spec, part) for spec in workspace.names("videos") for part in workspace.parts(f"videos/{spec}")]
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        columns = ["video_id", "outcome"]
        tables = pool.map(lambda place: workspace.read(f"videos/{place[0]}", place[1], VIDEOS, columns), cut)
        for (_, part), table in zip(cut, tables, strict=True):
            for row in table.filter(pc.is_in(table.column("outcome"), pa.array([*retry, "kept"]))).to_pylist():
                if row["video_id"] in known and known[row["video_id"]].part == part:
                    (kept if row["outcome"] == "kept" else found).add(row["video_id"])
    return found - kept, found & kept


def _commit_parts(
    workspace: Workspace, rows: Iterator[CollectionRow], size: int, first: int, may_begin: Callable[[], bool]
) -> None:
    """Commit rows in parts of `size` from number `first` on, several at a time, once `may_begin`; until then they wait.

    All of them are there at the end, or none if `may_begin` was false to the end.
    """
    waiting: collections.deque[tuple[str, pa.Table]] = collections.deque()
    commits: collections.deque[Future[str]] = collections.deque()
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for number in itertools.count(first):
            of_part = list(itertools.islice(rows, size))
            if not of_part:
                break
            waiting.append((f"{number:05d}", from_rows(of_part, COLLECTION, COLLECTION_FOLDER)))
            while waiting and may_begin():
                while len(commits) >= NUM_THREADS:
                    commits.popleft().result()
                commits.append(pool.submit(workspace.commit, COLLECTION_FOLDER, *waiting.popleft(), COLLECTION))
        for commit in commits:
            commit.result()


def _take_out(workspace: Workspace, moved: dict[str, set[str]]) -> None:
    """Remove videos that are in a later part from the tables of the part they were cut in; its tar of clips has none.

    Selections have rows for rejected clips, spans and masks for rejected videos; labels, scores and later tables have
    none. The collection's table is changed last: until then the next call repeats the removal.
    """
    if not moved:
        return
    tables = [(f"{SELECTIONS_FOLDER}/{name}", SELECTIONS) for name in workspace.names(SELECTIONS_FOLDER)]
    for spec in workspace.names("videos"):
        tables += [(f"clips/{spec}", CLIPS), (f"videos/{spec}", VIDEOS)]
    tables += [(f"tracks/{spec}", TRACKS) for spec in workspace.names("tracks")]
    tables += [(SPANS_FOLDER, SPANS), (MASKS_FOLDER, MASKS), (COLLECTION_FOLDER, COLLECTION)]

    def from_part(part: str) -> None:
        for folder, schema in tables:
            with contextlib.suppress(MissingError):  # removed by hand, so that the part is cut again
                table = workspace.read(folder, part, schema)
                workspace.commit(folder, part, _select(table, moved[part], invert=True), schema)

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        collections.deque(pool.map(from_part, moved), maxlen=0)  # to the end, or to the first error


def _declare(workspace: Workspace, known: Mapping[str, Known], declared: pa.Table) -> None:
    """Write what is declared of known videos now, rows of DECLARATIONS, into their rows of the collection.

    The rows of `videos` follow (`pipeline/clips/declaring.py`): the two tables are compared.
    """
    of_parts: dict[str, list[int]] = collections.defaultdict(list)  # numbers of rows
    for number, video_id in enumerate(declared["video_id"]):
        of_parts[known[video_id.as_py()].part].append(number)

    def in_part(part: str) -> None:
        listed = {row["video_id"]: declared_of(row) for row in declared.take(of_parts[part]).to_pylist()}
        rows = workspace.read(COLLECTION_FOLDER, part, COLLECTION).to_pylist()
        now = [
            row | declared_now(declared_of(row), listed[row["video_id"]]) if row["video_id"] in listed else row
            for row in rows
        ]
        if now != rows:
            workspace.commit(COLLECTION_FOLDER, part, from_rows(now, COLLECTION, part), COLLECTION)

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        collections.deque(pool.map(in_part, of_parts), maxlen=0)  # to the end, or to the first error


def _select(table: pa.Table, ids: Collection[str], invert: bool = False) -> pa.Table:
    """The rows of some videos, or of all others."""
    chosen = pc.is_in(table.column("video_id"), pa.array(sorted(ids), pa.string()))
    return table.filter(pc.invert(chosen) if invert else chosen)
