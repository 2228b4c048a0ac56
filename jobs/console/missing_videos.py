"""Videos that a node of a cluster did not find: gone, or not shared with that node."""

from collections.abc import Mapping, Sequence

from pipeline.errors import DataError
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from schemas.videos import VIDEOS


def check_missing(workspace: Workspace, specs: Sequence[str], part: str, counts: Mapping[str, float]) -> None:
    """Take a part back that has videos as `missing` which some node sees; the next run cuts it again.

    Args:
        specs: clip specs that the part was cut for.
        counts: of the part, by outcome.
    Raises:
        DataError: there is such a video.
    """
    if not counts.get("videos missing"):
        return
    from cluster.sharing import look_everywhere

    rows = workspace.read(f"videos/{specs[0]}", part, VIDEOS, ["uri", "outcome"]).to_pylist()
    gone = [row["uri"] for row in rows if row["outcome"] == "missing" and files.store_at(row["uri"]).is_local]
    paths = [str(files.local_path(uri)) for uri in gone]
    for node, found in look_everywhere(paths).items() if paths else ():
        seen = next((path for path, fingerprint in zip(paths, found, strict=True) if fingerprint), None)
        if seen is not None:
            for name in specs:
                files.delete(workspace.part_uri(f"videos/{name}", part))
            raise DataError(
                f"{seen}: missing where part {part} was cut, and {node} sees it, so not every node shares its folder. "
                "Mount it at the same path on every node, or use s3://; then the same command goes on from here."
            )
