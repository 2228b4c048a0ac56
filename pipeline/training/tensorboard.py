"""A training curve as a TensorBoard event file: rows in, bytes out, the same bytes for the same rows.

The file is rebuilt from the whole curve at every checkpoint (a row is some 50 bytes) and committed in one step like any
other, so that it also works on an object store, and a resumed run has one unbroken file. torch's SummaryWriter would
append to a local file, under a new name after each restart.
"""

import datetime
import io
from collections.abc import Iterable

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from schemas.reports import TrainingRow

FILE_NAME = "events.out.tfevents.0.earshot"
"""TensorBoard knows event files by `tfevents`."""


def event_file(curve: Iterable[TrainingRow], started: str) -> bytes:
    """An event file with one scalar `split/metric` per row.

    Args:
        started: ISO time of the run's beginning; elapsed_s is added to it.
    """
    began_s = datetime.datetime.fromisoformat(started).timestamp()
    file = io.BytesIO()
    writer = RecordWriter(file)
    writer.write(Event(wall_time=began_s, file_version="brain.Event:2").SerializeToString())
    for row in curve:
        scalar = Summary.Value(tag=f"{row['split']}/{row['metric']}", simple_value=row["value"])
        event = Event(wall_time=began_s + row["elapsed_s"], step=row["step"], summary=Summary(value=[scalar]))
        writer.write(event.SerializeToString(deterministic=True))
    return file.getvalue()
