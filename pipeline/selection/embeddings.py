"""Embeddings in the list columns of `scores`, and back; never by way of Python's numbers, which take 32 bytes each."""

import numpy as np
import pyarrow as pa


def to_column(vectors: np.ndarray, is_there: np.ndarray) -> pa.Array:
    """[m] lists: the rows of `vectors` [n, D] where `is_there` [m] says so, n times, null elsewhere.

    The numbers are rounded to half floats, which floats hold.
    """
    ends = np.cumsum(is_there, dtype=np.int32) * np.int32(vectors.shape[1])
    values = pa.array(vectors.astype(np.float16).astype(np.float32).ravel())
    return pa.ListArray.from_arrays(np.append(np.int32(0), ends), values, mask=pa.array(~is_there))


def to_matrix(column: pa.ChunkedArray) -> np.ndarray:
    """[n, D] float16 of a column without nulls: first leave out the clips that have no score."""
    if column.null_count:
        raise ValueError(f"{column.null_count} of {len(column)} clips have no embedding.")
    values = column.combine_chunks().flatten().to_numpy().astype(np.float16)
    return values.reshape(len(column), -1) if len(column) else np.zeros((0, 1), np.float16)
