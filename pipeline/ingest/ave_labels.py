"""AVE's labels of each second, rebuilt from the annotations and compared with the files that are published with them.

`labels.h5` (AVE's repository) and `right_labels.h5` (PSP's and CPSP's) hold [rows, 10, categories + 1], one-hot, the
last of which is background; `labels_noisy.h5` holds [rows, categories + 1], all background.
"""

from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError
from pipeline.ingest.ave_rows import ANNOTATIONS, AveRows
from pipeline.ingest.h5_arrays import open_array
from pipeline.labels.event_spans import segment_labels

KEY = "avadataset"
NUM_SEGMENTS = 10
FILES, NOISY_FILE = ("labels.h5", "right_labels.h5"), "labels_noisy.h5"


def rebuild_labels(lists: AveRows) -> np.ndarray:
    """[rows, 10] number of each segment's category, in the order of `lists.categories`; their number is background."""
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(lists.categories)}
    numbers[None] = len(lists.categories)
    labels = (segment_labels([row.span()], 0.0, NUM_SEGMENTS) for row in lists.rows)
    return np.array([[numbers[name] for name in row] for row in labels])


def check_labels(folder: Path, lists: AveRows) -> list[str]:
    """The names of the files of labels that are there, which agree with the annotations.

    Raises:
        ConfigError: one does not, or is no such file.
    """
    expected = rebuild_labels(lists)
    names = [name for name in FILES if (folder / name).is_file()]
    for name in names:
        shape = (len(lists.rows), NUM_SEGMENTS, len(lists.categories) + 1)
        with open_array(folder / name, KEY, shape, "fiu") as array:
            _check_one_hot(folder / name, array.read(0, len(lists.rows)), expected, f"as {ANNOTATIONS} has it")
    return names


def check_noisy_labels(folder: Path, num_rows: int, num_categories: int) -> list[str]:
    """The same of the rows without an event.

    Raises:
        ConfigError: the file is there, and says anything else.
    """
    path = folder / NOISY_FILE
    if not path.is_file():
        return []
    with open_array(path, KEY, (num_rows, num_categories + 1), "fiu") as array:
        labels = array.read(0, num_rows)
    _check_one_hot(path, labels[:, None], np.full((num_rows, 1), num_categories), "background")
    return [NOISY_FILE]


def _check_one_hot(path: Path, labels: np.ndarray, expected: np.ndarray, why: str) -> None:
    """Refuse labels [rows, segments, categories + 1] other than 1 at the expected [rows, segments], and 0 elsewhere."""
    wanted = np.arange(labels.shape[-1]) == expected[..., None]
    wrong = np.argwhere((labels != wanted).any(axis=-1))
    if len(wrong):
        row, segment = wrong[0]
        found = np.flatnonzero(labels[row, segment]).tolist()
        raise ConfigError(
            f"{path}: row {row + 1}, segment {segment} has the categories {found}, expected "
            f"[{expected[row, segment]}], {why}; {len(wrong)} segments differ. Get both from one place."
        )
