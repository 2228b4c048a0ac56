"""What `earshot shard` prints: progress, videos that someone should look at, and how all ended."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jobs.console.messages import say
from jobs.console.progress import printable
from pipeline.formatting import format_counts

if TYPE_CHECKING:
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
    _say(planned.not_retried, "not cut again: {} videos, of which another clip spec has clips")
    _say(planned.gone, "no longer in the collection, and kept as they were cut: {} videos")
    copies = [uri for group in splits.copies for uri in group]
    moved = f" {splits.num_moved} of them leave their prescribed split." if splits.num_moved else ""
    _say(copies, f"the same bytes, and so the same split, in {len(splits.copies)} groups: {{}} videos", moved)


def _say(uris: Sequence[str], what: str, remedy: str = "") -> None:
    """Print how many videos there are of a kind, if any, and the first of them."""
    if uris:
        names = ", ".join(map(printable, uris[:NUM_NAMED]))
        say(f"shard: {what.format(len(uris))}, such as {names}.{remedy}", "warning")
