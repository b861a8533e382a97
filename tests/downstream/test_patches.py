"""Patches: what of a region is predicted from which neighbourhood."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atmorep.downstream.patches import Line, Patches


@st.composite
def lines(draw):
    points = draw(st.integers(3, 40))
    extent = draw(st.integers(1, points))
    first = draw(st.integers(0, points - 1))
    periodic = draw(st.booleans())
    stop = draw(st.integers(first + 1, first + points if periodic else points))
    return Line(slice(first, stop), extent, None if periodic else points)


@given(lines())
def test_each_point_of_a_region_belongs_to_one_tile_that_holds_it(line):
    tiles = line.tiles()
    own = [point for tile in tiles for point in range(tile.own.start, tile.own.stop)]
    assert own == list(range(line.region.start, line.region.stop))
    for tile in tiles:
        assert line.region.start <= tile.first <= tile.own.start
        assert tile.own.stop <= tile.first + line.size <= line.region.stop
    assert len(tiles) == -(-(line.region.stop - line.region.start) // line.size)


@given(lines())
def test_a_neighbourhood_holds_its_patch_with_a_margin_unless_the_grid_ends(line):
    for start in line.starts:
        windows = line.windows(start)
        assert len(windows) > 0
        for window in windows:
            before, behind = start - window, window + line.extent - start - line.size
            assert min(before, behind) >= 0
            if line.points is not None:
                assert 0 <= window <= line.points - line.extent
            if line.extent > 2:
                assert before > 0 or (line.points is not None and window == 0)
                assert behind > 0 or (line.points is not None and window == line.points - line.extent)


def test_all_patches_and_neighbourhoods_are_drawn_alike():
    patches = Patches(Line(slice(2, 9), 6, 12), Line(slice(34, 39), 9, None), 2)
    assert patches.shape == (4, 5)
    rng = np.random.default_rng(0)
    drawn = [patches.draw(np.array([3, 7]), rng) for _ in range(4000)]
    assert {patch.window.start for patch in drawn} == {3, 7}
    rows = np.bincount([patch.row for patch in drawn])[2:]
    assert len(rows) == 4  # first rows 2 to 5
    assert abs(rows - 1000).max() < 4 * np.sqrt(4000 * 0.25 * 0.75)  # four standard errors
    assert {patch.column for patch in drawn} == {34}
    assert {patch.window.column for patch in drawn} == {31, 32, 33}
    assert {patches.cells(patch) for patch in drawn} == {(0, 0), (2, 0), (4, 0), (6, 0)}
