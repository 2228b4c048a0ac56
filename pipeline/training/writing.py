"""Writing beside the training: a disk or a store answers in seconds, in which a GPU takes many steps."""

import concurrent.futures
from collections.abc import Callable

from pipeline.estimate.usage import Meter, commit_usage
from pipeline.storage.workspace import Workspace

Write = Callable[[], None]


class CheckpointWriter:
    """Writes one checkpoint at a time on a thread, and with it what this process took to get there.

    Args:
        workspace, folder: where the model's files lie.
        first_step, rank: the process's row of usage is of the steps from here on.
    """

    def __init__(self, workspace: Workspace, folder: str, first_step: int, rank: int) -> None:
        self._workspace, self._stage = workspace, f"train-{folder.rpartition('/')[2]}"
        self._first_step, self._part = first_step, f"{first_step:08d}-{rank:02d}"
        self._meter = Meter()
        self._pool = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._writing: concurrent.futures.Future[None] | None = None

    def begin(self, step: int, checkpoint: Callable[[], Write] | None = None) -> None:
        """Begin to write the checkpoint of a step and the usage up to it, once what was begun before is written.

        Args:
            checkpoint: called now, to copy what trains on; what it gives is called on the thread. None: only the usage.
        Raises:
            Exception: what the write before has raised.
        """
        self.wait()  # two checkpoints need not be in memory
        write, row = checkpoint() if checkpoint else None, self._meter.row(self._part, step - self._first_step)

        def work() -> None:
            if write:
                write()
            commit_usage(self._workspace, self._stage, row)

        self._writing = self._pool.submit(work)

    def wait(self) -> None:
        """Wait until everything is written.

        Raises:
            Exception: what the write has raised, once.
        """
        writing, self._writing = self._writing, None
        if writing:
            writing.result()
