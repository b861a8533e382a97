"""Tiling of the domain with neighbourhoods, so that each grid point is scored exactly once."""

from __future__ import annotations

from dataclasses import dataclass

from atmorep.grids import Grid


@dataclass(frozen=True)
class Tile:
    """One neighbourhood, and the part of it that is scored.

    Attributes:
        row: first row of the neighbourhood on the grid.
        column: first column of the neighbourhood on the grid; it may reach past the last column of a
            periodic grid.
        rows: scored rows on the grid.
        columns: scored columns on the grid.
    """

    row: int
    column: int
    rows: slice
    columns: slice

    @property
    def inner(self) -> tuple[slice, slice]:
        """The scored rows and columns within the neighbourhood."""
        return (
            slice(self.rows.start - self.row, self.rows.stop - self.row),
            slice(self.columns.start - self.column, self.columns.stop - self.column),
        )


def tiles(grid: Grid, rows: int, columns: int) -> list[Tile]:
    """Cover ``grid`` with neighbourhoods of ``rows`` x ``columns`` grid points.

    Neighbourhoods follow each other without overlap. The last one is shifted inward so that it fits; on
    a periodic grid its columns wrap instead. Scored parts partition the grid, and are those of a regular
    chunking by ``rows`` x ``columns``.

    Args:
        grid: at least as large as a neighbourhood.
        rows: rows of a neighbourhood.
        columns: columns of a neighbourhood.
    """
    height, width = grid.shape
    return [
        Tile(
            row=min(row, height - rows),
            column=column if grid.periodic else min(column, width - columns),
            rows=slice(row, min(row + rows, height)),
            columns=slice(column, min(column + columns, width)),
        )
        for row in range(0, height, rows)
        for column in range(0, width, columns)
    ]
