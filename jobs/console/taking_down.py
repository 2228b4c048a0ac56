"""The steps of `earshot takedown`: what would go is listed; or it goes, and a scan proves it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jobs.console.card_files import write_cards_anew
from jobs.console.messages import say
from jobs.console.progress import printable, progress_bar
from pipeline.errors import DataError
from pipeline.formatting import format_number

if TYPE_CHECKING:
    from pipeline.storage.workspace import Workspace
    from pipeline.takedown.proof import Proof
    from pipeline.takedown.requests import Request
    from pipeline.takedown.taking_down import Removed

MAX_NAMED = 5
MAX_OTHERS = 20  # pages, records and logs that are named


def plan(workspace: "Workspace", request: "Request | None") -> None:
    """Print what a takedown would rewrite."""
    from pipeline.takedown.holding import list_parts
    from pipeline.takedown.planning import plan_takedown

    _warn(request.warnings() if request is not None else ())
    parts = list_parts(workspace)
    with progress_bar("takedown: tables", len(parts)) as advance:
        found = plan_takedown(workspace, request, parts, lambda: advance(1, ""))
    print(found)


def take_down(workspace: "Workspace", request: "Request | None", reason: str, every_byte: bool) -> None:
    """Remove the videos, and prove that they are gone.

    Raises:
        DataError: something is left.
    """
    from pipeline.takedown.holding import list_parts
    from pipeline.takedown.lessons import describe
    from pipeline.takedown.new_tombstones import add_tombstone, find_tombstones, reopen_tombstones, unfinished
    from pipeline.takedown.taking_down import TakeDown

    _warn(request.warnings() if request is not None else ())
    tombstones = unfinished(workspace) if request is None else add_tombstone(workspace, request, reason)
    if tombstones:
        work = TakeDown(workspace, tombstones)
        with progress_bar("takedown: tables", len(list_parts(workspace))) as advance:
            removed = work(lambda: advance(1, ""))
        _say_removed(workspace, removed, write_cards_anew(workspace))
    wanted = find_tombstones(workspace, tombstones, request)
    for tombstone in wanted.values():
        for stage, lesson in tombstone["models"].items():
            print(f"takedown: learnt from them: {describe(stage, lesson)}")
    proof = _prove(workspace, wanted, every_byte)
    if proof.left and set(wanted) - set(tombstones):  # a user's file or command has brought names back since
        reopen_tombstones(workspace, wanted)  # so that it shows if it is stopped
        tombstones = sorted(wanted)
        work = TakeDown(workspace, tombstones)
        _say_removed(workspace, work(), write_cards_anew(workspace))
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


def _prove(workspace: "Workspace", wanted: dict[str, Any], every_byte: bool) -> "Proof":
    """Scan the workspace, and say what was read and what no rewriting of the workspace reaches."""
    from pipeline.storage import files
    from pipeline.takedown.new_tombstones import names_of, sounds_of
    from pipeline.takedown.proof import find_beyond, scan

    total = sum(1 for _ in files.list_files(workspace.root))
    with progress_bar("takedown: proof", total) as advance:
        names = names_of(workspace, wanted)
        opened = [tar for tombstone in wanted.values() for tar in tombstone["tars"]]
        proof = scan(workspace, names, sounds_of(wanted), opened, every_byte, lambda: advance(1, ""))
    if not proof.left:
        print(f"takedown: proof: {proof.describe('--every-byte opens them')}")
    _warn(find_beyond(workspace, wanted, proof))
    return proof


def _say_removed(workspace: "Workspace", removed: "Removed", cards: list[str]) -> None:
    from pipeline.storage import files

    print(f"takedown: {removed}")
    if others := sorted(files.relative(uri, workspace.root) for uri in removed.others):
        more = f" and {len(others) - MAX_OTHERS} more" if len(others) > MAX_OTHERS else ""
        print(printable(f"takedown: these are {', '.join(others[:MAX_OTHERS])}{more}"))
    for stage in removed.whole:
        print(f"takedown: {stage} was not finished, and is removed as a whole: the command that makes it begins anew")
    if removed.has_uploads:
        _warn(
            [
                "uploads that were killed may be left in the bucket, with bytes of theirs: the store does not let this "
                "command remove them, so a rule has to (AbortIncompleteMultipartUpload)"
            ]
        )
    for stage in cards:
        print(f"takedown: the data card of {stage} is written anew")


def _warn(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        say(printable(f"takedown: {sentence}"), "warning")
