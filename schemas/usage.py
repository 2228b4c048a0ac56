"""What a part took to make: time and memory. Beside the results, because no two runs take the same."""

from typing import Annotated, TypedDict

from schemas.fields import table_schema


class UsageRow(TypedDict):
    """one part of one stage, as the worker that finished it measured it"""

    part: Annotated[str, "the part, such as 00042; of a training its first step and the process, as in 00000500-00"]
    host: Annotated[str, "name of the machine"]
    cpu_s: Annotated[float, "CPU time of the worker and of its ended children", "s"]
    gpu_s: Annotated[float, "time that the worker held a GPU", "s"]
    wall_s: Annotated[float, "time from begin to commit", "s"]
    peak_bytes: Annotated[int, "largest memory that the worker has held so far", "bytes"]
    steps: Annotated[int | None, "steps of all processes together; null where nothing is trained"]
    finished: Annotated[str, "when, UTC, ISO 8601"]


USAGE = table_schema(
    "usage",
    version=3,
    row=UsageRow,
    partitions={"stage": "the command that made the part and the name of what it made, as in shard-base"},
)
