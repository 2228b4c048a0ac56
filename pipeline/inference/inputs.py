"""What is given on the command line -> videos, and the folder that what is made of each goes to."""

import collections
import contextlib
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ConfigError, DataError, MissingError
from pipeline.storage import files
from pipeline.storage.localfiles import Skipped

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".flv", ".3gp", ".3g2",
    ".mj2", ".ogv", ".ogg", ".oga", ".opus", ".wmv", ".asf", ".wav", ".flac", ".mp3", ".m4a", ".mka",
)  # fmt: skip


class Job(NamedTuple):
    """One video to work on."""

    uri: str
    folder: str
    """Where what is made of it goes."""
    error: MissingError | None = None
    """Why there is none."""


def list_jobs(given: list[str], out: str) -> list[Job]:
    """The videos that the given addresses name, each once, in their order.

    What is made of one file goes to `out` itself; of several, or of a folder's, each to a folder of the video's name
    there. What lies below `out` is left out: it was made earlier.

    Args:
        given: files, folders and s3:// addresses.
        out: path or s3:// address of the folder to write to.
    Raises:
        ConfigError: nothing is at any of the addresses, or a folder has no video.
    """
    found: dict[str, str] = {}  # address -> name of its folder below `out`
    errors: dict[str, MissingError] = {}
    for address in given:
        if files.names_file(address) and files.exists(address):
            found.setdefault(address, _stem(posixpath.basename(address)))
            continue
        below = [entry.uri for entry in files.list_files(address, skipped=Skipped())]
        if not below:
            found[address] = _stem(posixpath.basename(address.rstrip("/")))
            errors[address] = MissingError(f"{address}: no such file or folder.")
            continue
        media = [uri for uri in below if uri.lower().endswith(SUFFIXES) and not _is_below(uri, out)]
        if not media:
            raise ConfigError(f"{address}: no video there. Expected files such as .mp4, .mkv, .webm or .wav.")
        for uri in media:
            found.setdefault(uri, _stem(files.relative(uri, address)))
    if len(errors) == len(found):
        missing = next(iter(errors.values()))
        raise ConfigError(f"{missing} Expected videos or sounds: files, folders or s3:// addresses.")
    if len(given) == len(found) == 1 and given[0] in found:
        return [Job(given[0], out)]
    return [Job(uri, files.join(out, name), errors.get(uri)) for uri, name in _distinct(found).items()]


@contextlib.contextmanager
def open_input(uri: str) -> Iterator[Path]:
    """A video as a local file, for the length of the block.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(files.local_copy(uri))
        except OSError as error:
            raise DataError(f"{uri}: cannot be read ({error}).") from error
        yield path


def _distinct(names: dict[str, str]) -> dict[str, str]:
    """Names made distinct: where several are equal, with the file's suffix, and then with a number."""
    counts = collections.Counter(names.values())
    longer = {
        uri: name if counts[name] == 1 else name + posixpath.splitext(posixpath.basename(uri))[1]
        for uri, name in names.items()
    }
    used: set[str] = set()
    distinct = {}
    for uri, name in longer.items():
        number = 1
        unique = name
        while unique in used:
            number += 1
            unique = f"{name}_{number}"
        used.add(unique)
        distinct[uri] = unique
    return distinct


def _stem(name: str) -> str:
    """A name without its suffix, if that is one of a video or sound."""
    stem, suffix = posixpath.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def _is_below(uri: str, folder: str) -> bool:
    return files.absolute(uri).startswith(files.absolute(folder) + "/")
