import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atmorep.evaluation.tiles import tiles
from atmorep.grids import Grid


@st.composite
def domains(draw):
    periodic = draw(st.booleans())
    height = draw(st.integers(2, 19))
    width = draw(st.sampled_from([6, 8, 9, 10, 12, 20, 36])) if periodic else draw(st.integers(2, 29))
    resolution = 360 / width if periodic else 1.0
    grid = Grid(north=60.0, west=0.0, resolution=resolution, shape=(height, width))
    assert grid.periodic == periodic
    return grid, draw(st.integers(1, height)), draw(st.integers(1, width))


@given(domains())
def test_each_point_is_scored_once_and_inside_its_neighbourhood(domain):
    grid, rows, columns = domain
    count = np.zeros(grid.shape, int)
    columns_of = np.arange(grid.shape[1])
    for tile in tiles(grid, rows, columns):
        count[tile.rows, tile.columns] += 1
        assert 0 <= tile.row <= grid.shape[0] - rows
        assert grid.periodic or 0 <= tile.column <= grid.shape[1] - columns
        inner_rows, inner_columns = tile.inner
        window_rows = np.arange(tile.row, tile.row + rows)
        window_columns = columns_of[np.arange(tile.column, tile.column + columns) % grid.shape[1]]
        assert (window_rows[inner_rows] == np.arange(grid.shape[0])[tile.rows]).all()
        assert (window_columns[inner_columns] == columns_of[tile.columns]).all()
        assert tile.rows.start % rows == 0  # a chunk of the predictions holds one tile
        assert tile.columns.start % columns == 0
    assert (count == 1).all()


def test_last_neighbourhood_is_shifted_or_wraps():
    regional = tiles(Grid(60, 0, 1, (5, 10)), 3, 4)
    assert [(t.row, t.column) for t in regional if t.row == 0] == [(0, 0), (0, 4), (0, 6)]
    assert {t.row for t in regional} == {0, 2}
    ring = tiles(Grid(60, 0, 36, (5, 10)), 3, 4)
    assert [t.column for t in ring if t.row == 0] == [0, 4, 8]
