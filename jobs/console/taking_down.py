"""The steps of `earshot takedown`, and what it says: what goes, who learnt from it, what the scan found."""

from typing import TYPE_CHECKING

from jobs.console.card_files import write_cards_anew
from jobs.console.messages import say
from jobs.console.progress import printable, progress_bar
from pipeline.errors import DataError
from pipeline.formatting import format_bytes, format_number

if TYPE_CHECKING:
    from pipeline.storage.workspace import Workspace
    from pipeline.takedown.proof import Proof
    from pipeline.takedown.requests import Request
    from pipeline.takedown.taking_down import Removed

MAX_NAMED = 5


def plan(workspace: "Workspace", request: "Request | None") -> None:
    """Print what a takedown would rewrite."""
    from pipeline.storage.tombstones import read_tombstones
    from pipeline.takedown.holding import holding, list_parts
    from pipeline.takedown.lessons import describe, lessons
    from pipeline.takedown.names import Names
    from pipeline.takedown.new_tombstones import names_of, unfinished

    if request is None:
        tombstones = read_tombstones(workspace)
        names = names_of(workspace, {name: tombstones[name] for name in unfinished(workspace)})
    else:
        _say_copies(request)
        names = Names([row["video_id"] for row in request.videos], (), [row["uri"] for row in request.videos])
    parts = list_parts(workspace)
    with progress_bar("takedown: tables", len(parts)) as advance:
        held = list(holding(workspace, names, parts, lambda: advance(1, "")))
    counts: dict[str, int] = {}
    for part in held:
        place = "/".join((part.kind, *part.values))
        counts[place] = counts.get(place, 0) + 1
    for place, count in counts.items():
        print(f"{place}: {format_number(count)} parts")
    for stage, lesson in lessons(workspace, names).items():
        print(f"learnt from them: {describe(stage, lesson)}")
    tars = sum(part.tar(workspace) is not None for part in held)
    print(
        f"takedown: nothing is removed yet. {format_number(len(names.video_ids))} videos are in {format_number(tars)} "
        f"tars and {format_number(len(held))} parts of tables."
    )


def take_down(workspace: "Workspace", request: "Request | None", reason: str, every_byte: bool) -> None:
    """Remove the videos, and prove that they are gone.

    Raises:
        DataError: something is left.
    """
    from pipeline.storage.tombstones import read_tombstones
    from pipeline.takedown.holding import list_parts
    from pipeline.takedown.new_tombstones import add_tombstone, reopen_tombstones, unfinished
    from pipeline.takedown.taking_down import TakeDown

    if request is not None:
        _say_copies(request)
    tombstones = unfinished(workspace) if request is None else add_tombstone(workspace, request, reason)
    if tombstones:
        work = TakeDown(workspace, tombstones)
        with progress_bar("takedown: tables", len(list_parts(workspace))) as advance:
            removed = work(lambda: advance(1, ""))
        cards = write_cards_anew(workspace)
        _say_removed(removed, cards)
    found = read_tombstones(workspace)
    asked = {video["video_id"] for video in request.videos} if request is not None else set()
    wanted = {
        name: tombstone
        for name, tombstone in found.items()
        if name in tombstones or asked & {video["video_id"] for video in tombstone["videos"]}
    }
    _say_models(wanted)
    proof = _prove(workspace, wanted, every_byte)
    if proof.left and set(wanted) - set(tombstones):  # a user's file or command has brought names back since
        reopen_tombstones(workspace, wanted)  # so that it shows if it is stopped
        tombstones = sorted(wanted)
        work = TakeDown(workspace, tombstones)
        _say_removed(work(), write_cards_anew(workspace))
        proof = _prove(workspace, wanted, every_byte)
    if proof.left:
        raise DataError(
            f"takedown: {len(proof.left)} files still have some of them, such as {'; '.join(proof.left[:MAX_NAMED])}. "
            "The same command goes on."
        )
    if tombstones:
        work.finish()
    count = sum(len(tombstone["videos"]) for tombstone in wanted.values())
    done = "" if tombstones else ", by an earlier command"
    print(f"takedown: {format_number(count)} videos taken down{done} -> {workspace.uri('tombstones')}", flush=True)


def _prove(workspace: "Workspace", wanted: dict, every_byte: bool) -> "Proof":
    """Scan the workspace, and say what was read and what lies beyond it."""
    from pipeline.storage import files
    from pipeline.takedown.new_tombstones import names_of, sounds_of
    from pipeline.takedown.proof import scan

    total = sum(1 for _ in files.list_files(workspace.root))
    with progress_bar("takedown: proof", total) as advance:
        names = names_of(workspace, wanted)
        opened = [tar for tombstone in wanted.values() for tar in tombstone["tars"]]
        proof = scan(workspace, names, sounds_of(wanted), opened, every_byte, lambda: advance(1, ""))
    tars = f"{format_number(proof.num_tars)} tars opened"
    if proof.num_unopened:
        tars += f", {format_number(proof.num_unopened)} known by their rows and size (--every-byte opens them)"
    if not proof.left:
        print(
            f"takedown: proof: {format_number(proof.num_files)} files of {format_bytes(proof.num_bytes)} read, {tars}: "
            "none but the tombstone names them, none has a sound of theirs"
        )
    if proof.unsearched:
        say(
            f"takedown: everyday words or numbers, for which texts were not searched: {len(proof.unsearched)} ids",
            "warning",
        )
    _say_beyond(workspace, wanted, proof)
    return proof


def _say_copies(request: "Request") -> None:
    more = len(request.videos) - request.num_named
    if more > 0:
        say(f"takedown: {more} videos more have the same bytes or address under other names, and go too", "warning")
    unknown = sum(video["content_hash"] is None for video in request.videos)
    if unknown:
        say(
            f"takedown: of {unknown} videos no hash is known, as they were not cut and their file cannot be read: a "
            "copy under another name will not be recognised",
            "warning",
        )


def _say_removed(removed: "Removed", cards: list[str]) -> None:
    print(
        f"takedown: {format_number(removed.num_rows)} rows removed, {format_number(len(removed.tables))} parts of "
        f"tables and {format_number(len(removed.tars))} tars rewritten, "
        f"{format_number(len(removed.others))} other files"
    )
    for stage in removed.whole:
        print(f"takedown: {stage} was not finished, and is removed as a whole: the command that makes it begins anew")
    if removed.has_uploads:
        say(
            "takedown: uploads that were killed may be left in the bucket, with bytes of theirs: the store does not "
            "let this command remove them, so a rule has to (AbortIncompleteMultipartUpload)",
            "warning",
        )
    for stage in cards:
        print(f"takedown: the data card of {stage} is written anew")


def _say_models(wanted: dict) -> None:
    from pipeline.takedown.lessons import describe

    for tombstone in wanted.values():
        for stage, lesson in tombstone["models"].items():
            print(f"takedown: learnt from them: {describe(stage, lesson)}")


def _say_beyond(workspace: "Workspace", wanted: dict, proof: "Proof") -> None:
    """What no rewriting of the workspace reaches: source files, other files in the root, old versions in a bucket."""
    from pipeline.storage import files
    from pipeline.storage.access import keeps_versions

    uris = [video["uri"] for tombstone in wanted.values() for video in tombstone["videos"]]
    there = [uri for uri in uris if uri and "://" not in uri and files.exists(uri)]
    if there:
        say(f"takedown: {len(there)} source files are still there, and are yours to remove", "warning")
    if proof.foreign:
        names = "; ".join(map(printable, proof.foreign[:MAX_NAMED]))
        say(f"takedown: {len(proof.foreign)} other files in the root name them, and are yours: {names}", "warning")
    if proof.unreadable:
        names = "; ".join(map(printable, proof.unreadable[:MAX_NAMED]))
        say(
            f"takedown: {len(proof.unreadable)} other files in the root cannot be read, and are yours: {names}",
            "warning",
        )
    if keeps_versions(workspace.root):
        say(
            "takedown: the bucket keeps versions: the old ones still hold all that was removed, until they are deleted "
            "or a rule (NoncurrentVersionExpiration) has them expire",
            "warning",
        )
