"""Peak memory of a process and all its descendants, sampled. Linux only: processes are found in /proc.

Adding the `ru_maxrss` of this process and of its children would count it twice: a child that becomes ffmpeg has the
memory of its parent before, and the kernel keeps that as its peak.
"""

import os
import threading
from pathlib import Path

PAUSE_S = 0.05
MB = 1e6


class TreePeak:
    """Resident memory in MB of this process and its descendants together, while the block runs.

    Pages that several of them share count for each.
    """

    def __enter__(self) -> "TreePeak":
        self.samples_mb = [tree_mb(os.getpid())]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(PAUSE_S):
            self.samples_mb.append(tree_mb(os.getpid()))

    @property
    def peak_mb(self) -> float:
        """The most so far."""
        return max(self.samples_mb)


def tree_mb(pid: int) -> float:
    """Resident memory of a process and its descendants in MB; 0 for one that has ended."""
    folder = Path(f"/proc/{pid}")
    try:
        pages = int((folder / "statm").read_text().split()[1])
        children = " ".join(path.read_text() for path in folder.glob("task/*/children")).split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MB + sum(tree_mb(int(child)) for child in children)
