"""Lists of mixtures with known sources, as FUSS is published with: a mixture a line, and the files that add up to it.

A line is `mixture <tab> source <tab> source ...`, addresses below the list's folder (google-research/sound-separation,
datasets/fuss; CC-BY 4.0). The sources are the collection: each carries the name of its mixture, which later stages add
up again, so that nothing is stored twice. A line without sources is a mixture of unknown ones, and is listed itself.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipeline.collection.merging import Listed, check_address, video_id
from pipeline.errors import ConfigError

SUFFIX = "_example_list.txt"
SPLIT_OF = {"train": "train", "validation": "validate", "eval": "test"}  # by how the list's name begins


def is_mixture_list(uri: str) -> bool:
    """Whether a file is such a list, by its name."""
    return uri.endswith(SUFFIX)


def read_mixtures(where: str, path: Path) -> Iterator[tuple[str, str | None]]:
    """(file, mixture that it is a source of) of each file of a list; the mixture is None where sources are unknown.

    Raises:
        ConfigError: not a text in UTF-8, an empty address, or a file that occurs twice.
    """
    seen: dict[str, int] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not a text in UTF-8 ({error}).") from error
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        mixture, *sources = line.split("\t")
        for file in sources or [mixture]:
            if not file.strip() or not mixture.strip():
                raise ConfigError(f"{where}, row {row}: an empty address. Expected mixture, tab, source, tab, source.")
            if file in seen:
                raise ConfigError(
                    f"{where}, row {row}: {file}, which row {seen[file]} has too; expected each source in one mixture. "
                    "Give a file for each mixture, as FUSS does."
                )
            check_address(file, f"{where}, row {row}")
            seen[file] = row
            yield file, mixture if sources else None


def group_mixtures(uri: str, rows: Iterable[tuple[str, str | None]], resolve: Callable[[str], str]) -> Iterator[Listed]:
    """The files of a list, in the split that its name says."""
    split = SPLIT_OF.get(posixpath.basename(uri).removesuffix(SUFFIX))
    for file, mixture in rows:
        sound = Listed(video_id(file), resolve(file), [None, None, split], spans=None)
        if mixture is not None:
            sound.add_extra({"mixture": mixture})
        yield sound
