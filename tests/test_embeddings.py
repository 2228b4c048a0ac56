"""Embeddings to a list column and back, against pyarrow's own way through Python's lists."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.selection.embeddings import to_column, to_matrix

VECTORS = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float16)


@pytest.mark.parametrize("is_there", [[True] * 3, [True, False, True, True, False], [False, True, True, True]])
def test_a_column_is_pyarrows_of_the_same_lists_with_nulls_where_there_is_no_vector(is_there: list[bool]) -> None:
    rows = iter(VECTORS)
    lists = [next(rows).tolist() if there else None for there in is_there]
    column = to_column(VECTORS, np.array(is_there))
    assert column.equals(pa.array(lists, pa.list_(pa.float32())))
    column.validate(full=True)


def test_a_matrix_is_what_the_column_was_made_of_whatever_its_chunks() -> None:
    column = to_column(VECTORS, np.ones(3, bool))
    np.testing.assert_array_equal(to_matrix(pa.chunked_array([column.slice(0, 1), column.slice(1)])), VECTORS)
    assert to_matrix(pa.chunked_array([column.slice(0, 0)])).shape[0] == 0


def test_a_column_without_any_vector_is_all_null_and_a_null_is_never_taken_for_a_vector() -> None:
    column = to_column(np.zeros((0, 1)), np.zeros(2, bool))
    assert column.to_pylist() == [None, None]
    with pytest.raises(ValueError, match="2 of 2 clips have no embedding"):
        to_matrix(pa.chunked_array([column]))
