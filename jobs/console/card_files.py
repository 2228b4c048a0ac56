"""The files of a data card beside a selection's shards: written on request, and anew once shards have lost clips."""

import json
import shlex
from typing import TYPE_CHECKING

from jobs.console.progress import printable
from pipeline.errors import DataError
from pipeline.storage import files

if TYPE_CHECKING:
    from pipeline.reports.card_facts import Facts
    from pipeline.storage.workspace import Workspace

CARD, MANIFEST, INDEX = "README.md", "croissant.json", ".nv-meta"


def write_card(
    workspace: "Workspace", selection: str, creator: str | None, url: str | None, has_index: bool
) -> "Facts":
    """Write the card, the manifest and the two tables, and the index for Energon if asked for.

    Args:
        creator, url: what the manifest states of who publishes the data, and where.
    Raises:
        ConfigError: the shards are not there, or not all of them.
        DataError: a figure cannot be traced.
    """
    from jobs.console.rebuilding import rebuild_commands
    from jobs.console.session import open_session
    from pipeline.reports.attribution import write_attribution
    from pipeline.reports.card_facts import gather
    from pipeline.reports.card_tables import write_tables
    from pipeline.reports.croissant import Stated, make_croissant
    from pipeline.reports.data_card import make_card
    from pipeline.reports.energon_index import write_index

    facts = gather(workspace, selection)
    rebuild = rebuild_commands(open_session(workspace.root), facts.stages)
    stated = {"--creator": creator, "--url": url}
    options = "".join(f" {name} {shlex.quote(printable(text))}" for name, text in stated.items() if text is not None)
    options += " --energon" if has_index else ""
    card = make_card(facts, [*rebuild, f"earshot card --selection {selection} --root ROOT{options}"])
    tables = write_tables(workspace, selection)
    manifest = make_croissant(facts, tables, write_attribution(workspace, selection), Stated(creator, url))
    if has_index:
        write_index(workspace, facts)
    folder = workspace.uri("materialized", selection)
    files.commit_bytes(files.join(folder, MANIFEST), manifest.encode())
    files.commit_bytes(files.join(folder, CARD), card.encode())  # the last, so that it speaks of what is there
    return facts


def write_cards_anew(workspace: "Workspace") -> list[str]:
    """Write the card of each set of shards that has a manifest and, since it lost clips, no card; return their names.

    A set of which no card can be written, such as one that has lost all its clips, is left without those files.
    """
    from pipeline.errors import ConfigError

    written = []
    for selection in workspace.names("materialized"):
        folder = workspace.uri("materialized", selection)
        uri = files.join(folder, MANIFEST)
        if not files.exists(uri) or files.exists(files.join(folder, CARD)):
            continue
        stated = json.loads(files.read_bytes(uri))
        url = stated["url"] if stated.get("url") != CARD else None
        has_index = any(True for _ in files.list_files(files.join(folder, INDEX)))
        try:
            write_card(workspace, selection, stated.get("creator", {}).get("name"), url, has_index)
        except (ConfigError, DataError):
            for name in (MANIFEST, "clips.parquet", "videos.parquet"):
                files.delete(files.join(folder, name))
            for entry in files.list_files(folder):  # places of samples in the tars that were
                if entry.uri.endswith(".idx") or f"/{INDEX}/" in entry.uri:
                    files.delete(entry.uri)
        else:
            written.append(f"materialized/{selection}")
    return written
