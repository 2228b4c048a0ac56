"""Find uploads of the same content: scores/<model>, or imported vectors -> duplicates/<name>."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar

import typer

from cluster.resources import FILTERING
from jobs.console.options import Name, Scorer, Session, with_session
from pipeline.errors import ConfigError

R = TypeVar("R")
PARTS_PER_TASK = {"compare": 16, "match": 1}  # to read one part's embeddings takes 10 ms, to match its clips minutes


Vectors = Annotated[
    str | None,
    typer.Option(help="Compare clips by imported vectors, table.column, in place of the model's embeddings."),
]


def find(session: Session, name: Name = "default", model: Scorer = "coincidence", vectors: Vectors = None) -> None:
    """Find videos that are uploads of the same content, for a selection of the same name.

    Reads the tables scores and videos, or with --vectors an imported table, clips and videos. Writes the table
    duplicates: the group and the split of every video that shares at least half of its clips, or of the other's, with
    another video.

    Example: earshot duplicates --root my_workspace --name strict --set duplicates.similarity=0.9
    """
    from pipeline.selection.duplicate_groups import group_facts
    from pipeline.selection.duplicates import find_duplicates
    from pipeline.selection.embeddings import Compared, ImportedVectors, ScoredEmbeddings, vector_length
    from schemas.duplicates import DUPLICATES

    folder = f"duplicates/{name}"
    session = session.resume(folder)
    workspace, config = session.workspace, session.config
    compared: Compared = ImportedVectors(workspace, vectors) if vectors else ScoredEmbeddings(workspace, model)
    inputs = compared.inputs()
    if config.duplicates.similarity is None:
        raise ConfigError(
            "duplicates.similarity = none: expected a cosine between 0 and 1. Give --set duplicates.similarity=0.9."
        )

    def each(step: str, work: Callable[[str], R], parts: list[str]) -> Iterator[R]:
        return session.each(f"{step} {name}", work, parts, FILTERING, PARTS_PER_TASK[step])

    settings: dict[str, Any] = {"duplicates": config.duplicates, "splitting": config.splitting}
    settings |= {"vectors": vectors} if vectors else {}
    with session.begin(folder, settings, inputs):
        is_done = not workspace.pending(compared.folder, folder) and workspace.is_finished(folder)
        if not is_done:  # it may have been killed after its last part
            cosines = find_duplicates(workspace, name, compared, config.duplicates.similarity, config.splitting, each)
            workspace.finish(folder, median_least_cosine=cosines, vector_length=vector_length(compared))
        num_groups, largest = group_facts(workspace.read_all(folder, DUPLICATES).to_pylist())
        note = "nothing to do, every part is compared; " if is_done else ""
        session.done("duplicates", f"{note}{num_groups} groups of uploads, the largest of {largest} videos", folder)


command = with_session(find)
