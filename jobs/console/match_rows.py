"""The rows that `match` answers with: of a pair, of a table of pairs, and of what fits a picture or a sound best."""

import collections
from typing import TYPE_CHECKING, Any

from jobs.console.messages import say
from jobs.console.progress import progress_bar
from pipeline.errors import ClipError, ConfigError
from pipeline.formatting import format_counts, format_figure

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.inference.match_sides import MatchModel, Sides
    from pipeline.inference.ranking import Order, Sought

ROOT = "root"  # what is given in place of a folder to search the clips of the workspace


def judge_pair(sides: "Sides", picture: str, sound: str) -> "pa.Table":
    """The row of one pair. Raises a ConfigError if it cannot be judged."""
    from pipeline.inference.matching_pairs import judge_pairs
    from pipeline.storage.pair_files import Pair

    rows = judge_pairs(sides, [Pair(picture, sound)])
    _refuse(rows)
    return rows.drop_columns(["picture_start_s", "sound_start_s", "match", "reason", "detail"])


def judge_table(found: "MatchModel", workspace: Any, model: str, uri: str) -> "pa.Table":
    """The rows of a table of pairs of files, and of clips of the workspace; what they come to is said on stderr."""
    from pipeline.inference.match_sides import Sides
    from pipeline.inference.matching_pairs import judge_pairs
    from pipeline.inference.pair_figures import pair_figures
    from pipeline.selection.clip_search import stored_embeddings
    from pipeline.storage.pair_files import read_pairs

    clips: dict[str, Any] = {}

    def find_clips(names: set[str]) -> dict[str, Any]:
        clips.update(stored_embeddings(workspace, model, names))
        return clips

    pairs = read_pairs(uri, find_clips)
    with progress_bar("match, pairs", len(pairs)) as advance:
        rows = judge_pairs(Sides(found, clips), pairs, lambda pair: advance(1, ""))
    _say_judged(rows, "pairs")
    for each in pair_figures(rows):
        value = format_figure(each.value, "1", each.low, each.high)
        of = f"{each.num_pairs} pairs, {each.num_matched} of them match"
        say(f"match: {each.figure} {value} (baseline {each.baseline:g}; {of})", counts={each.figure: each.value})
    return rows


def rank_folder(
    sides: "Sides", picture: str | None, sound: str | None, among: str, by: "Order", top: int
) -> "pa.Table":
    """The `top` files of a folder that fit best."""
    from pipeline.inference.ranking import list_candidates, rank_files

    query, sought = _query(picture, sound)
    candidates = list_candidates(among, sought)
    _check_query(sides, query, sought)
    with progress_bar("match, files", len(candidates)) as advance:
        rows = rank_files(sides, query, sought, candidates, by, lambda pair: advance(1, ""))
    _say_judged(rows, "files")
    return rows.slice(0, top).drop_columns(["picture_start_s", "sound_start_s", "match"])


def rank_clips(
    sides: "Sides",
    workspace: Any,
    model: str,
    picture: str | None,
    sound: str | None,
    by: "Order",
    top: int,
    selection: str | None,
) -> "pa.Table":
    """The `top` clips of the workspace that fit best, by the embeddings of its table `scores`."""
    from pipeline.selection.clip_search import find_clips

    query, sought = _query(picture, sound)
    side = _check_query(sides, query, sought)
    queries = side.embeddings[side.is_usable]
    if not len(queries):
        raise ConfigError(f"silent: {query}: no clip of it is heard.")
    return find_clips(workspace, model, queries, sought, sides.model.judge, top, by, selection)


def find_shifts(model: "MatchModel", video: str | None, among: str | None) -> "pa.Table":
    """How late the sound of a video is, or of each of a folder. Raises a ConfigError if the one cannot be judged."""
    from pipeline.inference.offset_search import find_offsets
    from pipeline.inference.ranking import list_candidates

    videos = list_candidates(among, "sound") if among is not None else [str(video)]
    with progress_bar("match, videos", len(videos)) as advance:
        rows = find_offsets(model, videos, lambda uri: advance(1, ""))
    if among is None:
        _refuse(rows)
    else:
        _say_judged(rows, "videos")
    return rows


def _query(picture: str | None, sound: str | None) -> "tuple[str, Sought]":
    """The file that is given, and the side that is sought for it."""
    return (str(sound), "picture") if picture is None else (picture, "sound")


def _check_query(sides: "Sides", query: str, sought: "Sought") -> Any:
    """The side that is given. Raises a ConfigError if it cannot be used: then no file of the folder could be judged."""
    from pipeline.errors import DataError

    try:
        return sides.picture(query, None) if sought == "sound" else sides.sound(query, None)
    except (ClipError, DataError) as error:
        raise ConfigError(str(error) if query in str(error) else f"{query}: {error}") from error


def _refuse(rows: "pa.Table") -> None:
    """Raises a ConfigError if the only row has a reason against it."""
    reason = rows["reason"][0].as_py()
    if reason is not None:
        raise ConfigError(f"{reason}: {rows['detail'][0].as_py()}")


def _say_judged(rows: "pa.Table", what: str) -> None:
    reasons = collections.Counter(reason for reason in rows["reason"].to_pylist() if reason is not None)
    unread = f"; not judged: {format_counts(reasons)}" if reasons else ""
    say(f"match: {len(rows) - reasons.total()} of {len(rows)} {what} judged{unread}")
