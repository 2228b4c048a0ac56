"""What `earshot shard` prints: progress, videos that someone should look at, and how all ended."""

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jobs.console.exit_codes import PartialError
from jobs.console.messages import say
from jobs.console.progress import printable
from pipeline.errors import DataError
from pipeline.formatting import format_counts

if TYPE_CHECKING:
    from pipeline.clips.declaring import Changes
    from pipeline.clips.reconciling import Totals
    from pipeline.clips.splitting import Splits
    from pipeline.collection.collecting import Planned

NUM_NAMED = 5  # addresses of videos on the terminal


def format_cutting(counts: Mapping[str, float], elapsed_s: float) -> str:
    """What the progress bar says: videos, hours, speed, clips, and rejects by reason."""
    videos = sum(count for name, count in counts.items() if name.startswith("videos "))
    hours = counts["video_s"] / 3600
    rejected = {
        name: count for name, count in counts.items() if name.startswith(("videos", "clips")) and "kept" not in name
    }
    speed = f"{videos:.0f} videos, {hours:.2f} h ({hours / elapsed_s * 60:.2f} h/min), {counts['clips kept']:.0f} clips"
    return f"{speed}; rejected: {format_counts(rejected) or 'none'}"


def print_notes(planned: "Planned", splits: "Splits") -> None:
    """Name videos that have changed, that are elsewhere or gone or not retried, and that are copies of others."""
    _say(
        planned.changed,
        "changed since they were listed first, and left as they were cut: {} videos (another file, or other spans)",
        " To cut one anew, give it another name.",
    )
    if planned.elsewhere is not None:
        then, now = map(printable, planned.elsewhere)
        say(
            f"shard: {planned.num_elsewhere} videos are at other addresses than when they were cut, such as {then}, "
            f"now {now}: taken for moved, and left as they were cut. If they are other videos, use another root.",
            "warning",
        )
    if planned.num_taken_down:
        say(f"shard: {planned.num_taken_down} videos of the collection were taken down, and are left out", "warning")
    _say(planned.not_retried, "not cut again: {} videos, of which another clip spec has clips")
    _say(planned.gone, "no longer in the collection, and kept as they were cut: {} videos")
    copies = [uri for group in splits.copies for uri in group]
    moved = f" {splits.num_moved} of them leave their prescribed split." if splits.num_moved else ""
    _say(copies, f"the same bytes, and so the same split, in {len(splits.copies)} groups: {{}} videos", moved)


def print_changes(changes: "Changes") -> None:
    """Say of how many videos something else is declared than before, which, and what follows."""
    if not changes.num_videos:
        return
    names = ", ".join(printable(uri) for uri, _ in changes.examples)
    keep = (
        f"{', '.join(f'`{name}`' for name in changes.selections)} {'keeps' if len(changes.selections) == 1 else 'keep'}"
    )
    then = f" Until `earshot filter` decides anew, {keep} none of their clips." if changes.selections else ""
    which = "1 video is" if changes.num_videos == 1 else f"{changes.num_videos} videos are"
    counts = format_counts(changes.num_by_kind)
    say(f"shard: {which} declared otherwise: {counts}; such as {names}.{then}", "warning")


def check_rejects(
    root: str, collection: str, totals: Sequence["Totals"], cut: Mapping[str, float], most: float | None
) -> None:
    """Refuse a collection that gives nothing, or more rejects than allowed; all of it is cut and recorded by then.

    Args:
        totals: of each clip spec, over all of the collection.
        cut: outcomes of what was cut now, such as `videos kept`: a bad night must not vanish among years.
        most: share of videos that may be rejected.
    Raises:
        DataError: no video gave a clip.
        PartialError: more were rejected.
    """
    first = totals[0]
    which = f"earshot query --root {shlex.quote(root)} 'SELECT uri, outcome, detail FROM videos'"
    if first.num_videos and not any(of.num_kept for of in totals):
        raise DataError(
            f"collection {collection}: none of {first.num_videos} files gave a clip "
            f"({format_counts(first.videos_by_outcome)}). Expected videos with sound. What is wrong with each: {which}"
        )
    videos = {name.removeprefix("videos "): count for name, count in cut.items() if name.startswith("videos ")}
    videos = videos or dict(first.videos_by_outcome)
    rejected, of_all = sum(videos.values()) - videos.get("kept", 0), sum(videos.values())
    if most is not None and rejected > most * of_all:
        raise PartialError(
            f"collection {collection}: all is cut, and {rejected:.0f} of {of_all:.0f} videos are rejected "
            f"({format_counts(videos)}): {rejected / of_all:.1%}, allowed {most:.1%}. What is wrong with each: {which}"
        )


def _say(uris: Sequence[str], what: str, remedy: str = "") -> None:
    """Print how many videos there are of a kind, if any, and the first of them."""
    if uris:
        names = ", ".join(map(printable, uris[:NUM_NAMED]))
        say(f"shard: {what.format(len(uris))}, such as {names}.{remedy}", "warning")
