"""Sparse matrices: rows cut to their largest entries or gathered, growth with the catalogue, files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
DENSE_COLUMNS = 100_000
"""Columns up to which sums are made of all at once, though some are asked for; beyond, those are looked for."""


def strongest_of_rows(matrix: Any, most: int) -> Any:
    """The `most` largest entries of each row, columns sorted."""
    return _cut(matrix, most, lambda values, columns: np.argpartition(-values, most)[:most])


def largest_of_rows(matrix: Any, most: int) -> Any:
    """As `strongest_of_rows`, with equal entries chosen without favour to low columns, and always the same ones."""

    def chosen(values: npt.NDArray[np.float32], columns: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        return np.lexsort((columns.astype(np.uint64) * _SPREAD, -values))[:most]

    return _cut(matrix, most, chosen)


def row_entries(pointers: Any, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of the entries of some rows in a CSR matrix's data, row after row, and how many each row has."""
    lengths = (pointers[rows + 1] - pointers[rows]).astype(np.int64)
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(pointers[rows] - before, lengths), lengths


def is_narrow(matrix: Any) -> bool:
    """Whether `weighted_rows` makes all columns at once, though some are asked for."""
    return bool(matrix.shape[1] <= DENSE_COLUMNS)


def weighted_rows(
    matrix: Any,
    rows: npt.NDArray[np.int64],
    weights: npt.NDArray[Any],
    columns: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.float64]:
    """`weights @ matrix[rows]` of a CSR matrix, at all columns or at some distinct ones, `[columns]`."""
    places, lengths = row_entries(matrix.indptr, rows)
    met, values = matrix.indices[places], matrix.data[places] * np.repeat(weights, lengths)
    if columns is None or is_narrow(matrix):
        # Without an entry at all the sums would be whole numbers.
        sums = np.bincount(met, values, matrix.shape[1]).astype(np.float64, copy=False)
        return sums if columns is None else sums[columns]
    order = np.argsort(columns)
    at = np.searchsorted(columns[order], met)
    at[at == len(columns)] = 0
    wanted = columns[order[at]] == met if len(columns) else np.zeros(len(met), bool)
    found = np.zeros(len(columns))
    found[order] = np.bincount(at[wanted], values[wanted], len(columns))
    return found


def block(matrix: Any, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Some rows of a CSR matrix at some distinct columns, `[rows, columns]`; for a few of each."""
    places, lengths = row_entries(matrix.indptr, rows)
    order = np.argsort(columns)
    met = matrix.indices[places]
    at = np.minimum(np.searchsorted(columns[order], met), max(0, len(columns) - 1))
    wanted = columns[order[at]] == met if len(columns) else np.zeros(len(met), bool)
    found = np.zeros((len(rows), len(columns)))
    found[np.repeat(np.arange(len(rows)), lengths)[wanted], order[at[wanted]]] = matrix.data[places[wanted]]
    return found


def row_products(matrix: Any, rows: npt.NDArray[np.int64], vector: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """`matrix[rows] @ vector` of a CSR matrix, `[rows]`."""
    places, lengths = row_entries(matrix.indptr, rows)
    products = matrix.data[places] * vector[matrix.indices[places]]
    sums = np.bincount(np.repeat(np.arange(len(rows)), lengths), products, len(rows))
    return sums.astype(np.float64, copy=False)


def grown(matrix: Any, items: int) -> Any:
    """A square CSR matrix with empty rows and columns for further items, `[items, items]`."""
    from scipy.sparse import csr_matrix

    pointers = np.append(matrix.indptr, np.full(items - matrix.shape[0], matrix.indptr[-1], matrix.indptr.dtype))
    return csr_matrix((matrix.data, matrix.indices, pointers), shape=(items, items))


def to_arrays(matrix: Any) -> dict[str, npt.NDArray[Any]]:
    """A CSR matrix for a safetensors file."""
    return {
        "data": matrix.data.astype(np.float32),
        "indices": matrix.indices.astype(np.int32),
        "indptr": matrix.indptr.astype(np.int64),
    }


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]], items: int) -> Any:
    """The matrix that `to_arrays` took apart, `[items, items]`."""
    from scipy.sparse import csr_matrix

    return csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(items, items))


def _cut(matrix: Any, most: int, chosen: Any) -> Any:
    from scipy.sparse import csr_matrix

    sizes = np.diff(matrix.indptr)
    long = np.flatnonzero(sizes > most)
    keep = np.ones(matrix.nnz, bool)
    # Only rows that are too long are gone through: there are at most nnz / most of them.
    for row in long.tolist():
        start, end = matrix.indptr[row], matrix.indptr[row + 1]
        keep[start:end] = False
        keep[start + chosen(matrix.data[start:end], matrix.indices[start:end])] = True
    pointers = np.concatenate([[0], np.cumsum(np.minimum(sizes, most))])
    kept = slice(None) if not len(long) else keep
    small = csr_matrix((matrix.data[kept], matrix.indices[kept], pointers), shape=matrix.shape)
    small.sort_indices()
    return small
