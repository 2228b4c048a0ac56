"""One array of an HDF5 file, read in blocks of rows: nothing but numbers of a known shape, and nothing elsewhere.

Design note: a file of HDF5 can point into other files (external links, external and virtual storage), and name filters
whose chunks are larger than what is asked for. An array that does is refused, because what is ingested comes from
strangers. Rows are read as they lie: memory is that of a block, however long the file is.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline.errors import ConfigError

MAX_CHUNK_BYTES = 1 << 26  # a chunk is unpacked whole, whatever part of it is read
MAX_ROW_BYTES = 1 << 26  # a published row of 10 x 7 x 7 x 512 in double precision has 2 MB
MAX_ROWS = 10**6  # rows that were never written take no bytes: a small file may claim any number
Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class H5Array:
    """An open array."""

    path: Path
    shape: tuple[int, ...]
    data: Any
    """The `h5py.Dataset`."""

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as stored."""
        return math.prod(self.shape[1:]) * self.data.dtype.itemsize

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows `first` to `last`, exclusive, in the byte order of this machine.

        Raises:
            ConfigError: they cannot be read.
        """
        rows = np.empty((last - first, *self.shape[1:]), self.data.dtype.newbyteorder("="))
        if rows.size:
            with _as_damage(self.path):
                self.data.read_direct(rows, np.s_[first:last])
        return rows


@contextlib.contextmanager
def open_array(path: Path, key: str, shape: Shape, kinds: str = "f") -> Iterator[H5Array]:
    """The array of a file by its key.

    Args:
        shape: what it must be; None for an axis of any length of 1 or more.
        kinds: of NumPy's types, f for floating point, i and u for whole numbers.
    Raises:
        ConfigError: the file is damaged or truncated, has no such key, or another type or shape there, or the array
            lies elsewhere or in too large pieces.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file. Expected HDF5 with the array {key!r}.")
    with _as_damage(path):
        file = h5py.File(path, "r")
    with file:
        with _as_damage(path):
            keys = sorted(file.keys())[:10]
            link = file.get(key, getlink=True) if key in file.keys() else None  # noqa: SIM118  `in file` follows links
            data = file[key] if isinstance(link, h5py.HardLink) else None
        if not isinstance(data, h5py.Dataset):
            raise ConfigError(f"{path}: has {', '.join(map(repr, keys)) or 'nothing'}, expected the array {key!r}.")
        with _as_damage(path):
            dtype = data.dtype  # a damaged one has none that NumPy knows
        found = tuple(data.shape or ())
        if dtype.kind not in kinds or dtype.itemsize > 8:
            raise ConfigError(f"{path}: {key} holds {dtype}, expected {_NAMES[kinds]}.")
        fits = len(found) == len(shape) and all(
            have > 0 and want in (None, have) for have, want in zip(found, shape, strict=True)
        )
        if not fits:
            wanted = " x ".join("any" if axis is None else str(axis) for axis in shape)
            have = " x ".join(map(str, found)) or "none"
            raise ConfigError(f"{path}: {key} has the shape {have}, expected {wanted}.")
        if found[0] > MAX_ROWS:
            raise ConfigError(f"{path}: {key} has {found[0]} rows, expected at most {MAX_ROWS}.")
        chunk_bytes = math.prod(data.chunks or ()) * dtype.itemsize
        array = H5Array(path, found, data)
        if data.is_virtual or data.external or chunk_bytes > MAX_CHUNK_BYTES or array.row_bytes > MAX_ROW_BYTES:
            raise ConfigError(
                f"{path}: {key} lies in other files, or in pieces of more than {MAX_ROW_BYTES >> 20} MB; expected an "
                "array in this file. Write it anew with h5repack."
            )
        yield array


_NAMES = {"f": "floating point numbers", "iu": "whole numbers", "fiu": "numbers"}


@contextlib.contextmanager
def _as_damage(path: Path) -> Iterator[None]:
    """What h5py raises, as a ConfigError that names the file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: not a whole HDF5 file ({error}). Get it again.") from error
