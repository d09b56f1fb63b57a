"""The items' vectors as scoring reads them: whole, in half precision, as bytes, or of lower rank."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from liverank.ranking.data import Floats, Rows
from liverank.ranking.room import Room

Precision = Literal["float32", "float16", "int8"]
_LARGEST: Final = 127
_ROWS_AT_ONCE: Final = 65_536


class ItemTable:
    """Vectors of items, `[items, width]`; what is read of them is float32, whatever they are kept as.

    int8 keeps a row as whole numbers from -127 to 127 beside the row's scale. A table of lower rank keeps the rows'
    coordinates in the subspace that holds most of them (the leading singular vectors: Eckart and Young, 1936).

    Args:
        codes: what is kept of each row, `[items, width or rank]`: float32, float16 or int8.
        scale: of each row, `[items]`, for int8.
        basis: orthonormal rows that span the subspace, `[rank, width]`.
        room: of the table that this one has grown from.
    """

    def __init__(
        self,
        codes: npt.NDArray[Any],
        scale: Floats | None = None,
        basis: Floats | None = None,
        room: Room | None = None,
    ) -> None:
        self.codes = codes
        self.scale = scale
        self.basis = basis
        self._room = Room() if room is None else room

    @classmethod
    def of(cls, vectors: Floats, precision: Precision = "float32", rank: int = 0) -> ItemTable:
        """Keeps `vectors`, `[items, width]`, in some precision and with `rank` coordinates each (0: as they are)."""
        if precision == "float32" and not rank:
            return cls(vectors)
        width = vectors.shape[1]
        basis = _basis(vectors, rank) if 0 < rank < width else None
        empty = np.zeros((len(vectors), width if basis is None else rank), precision)
        table = cls(empty, np.zeros(len(vectors), np.float32) if precision == "int8" else None, basis)
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            table._put(np.arange(start, min(start + _ROWS_AT_ONCE, len(vectors))), vectors[start:][:_ROWS_AT_ONCE])
        return table

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def width(self) -> int:
        """Columns of the vectors that are read."""
        return int((self.codes if self.basis is None else self.basis).shape[1])

    @property
    def nbytes(self) -> int:
        """Memory that it takes, in bytes."""
        return sum(array.nbytes for array in self.arrays().values())

    def rows(self, rows: Rows) -> Floats:
        """Vectors of some rows, `[*rows, width]`, a copy."""
        found: Floats = self.codes[rows].astype(np.float32, copy=False)
        if self.scale is not None:
            found *= self.scale[rows][..., None]
        return found if self.basis is None else found @ self.basis

    def scores(self, rows: Rows, query: Floats) -> Floats:
        """Products of some rows with a query, `[rows]`."""
        query = query if self.basis is None else self.basis @ query
        found: Floats = self.codes[rows].astype(np.float32, copy=False) @ query
        return found if self.scale is None else found * self.scale[rows]

    def with_rows(self, items: int, rows: Rows, vectors: Floats) -> ItemTable:
        """Grown to `items` rows (new ones are 0), with new `vectors` of some, `[rows, width]`; this one stays as it is.

        Where all of `rows` are new, and to the latest table, it shares this one's memory.
        """
        more = items - len(self)
        codes = self._room.grown(self.codes, more, apart=bool((rows < len(self)).any()))
        scale = None if self.scale is None else np.concatenate([self.scale, np.zeros(more, np.float32)])
        table = ItemTable(codes, scale, self.basis, self._room)
        table._put(rows, vectors)
        return table

    def only(self, rows: Rows) -> ItemTable:
        """A table of these rows alone."""
        return ItemTable(self.codes[rows], None if self.scale is None else self.scale[rows], self.basis)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What `from_arrays` needs, for a safetensors file."""
        parts = {"vectors": self.codes, "vectors_scale": self.scale, "vectors_basis": self.basis}
        return {name: array for name, array in parts.items() if array is not None}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> ItemTable:
        """The inverse of `arrays`."""
        return cls(arrays["vectors"], arrays.get("vectors_scale"), arrays.get("vectors_basis"))

    def _put(self, rows: Rows, vectors: Floats) -> None:
        values = vectors if self.basis is None else vectors @ self.basis.T
        if self.scale is not None:
            scale = np.abs(values).max(axis=1, initial=0.0) / _LARGEST
            values = np.rint(values / np.where(scale > 0, scale, 1)[:, None])
            self.scale[rows] = scale
        self.codes[rows] = values.astype(self.codes.dtype)


def _basis(vectors: Floats, rank: int) -> Floats:
    """The leading right singular vectors, `[rank, width]`, from the small matrix of products of columns."""
    products = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        part = vectors[start : start + _ROWS_AT_ONCE].astype(np.float64)
        products += part.T @ part
    # Eigenvalues come in ascending order.
    return np.ascontiguousarray(np.linalg.eigh(products)[1][:, ::-1][:, :rank].T.astype(np.float32))
