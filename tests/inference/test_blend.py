"""Overlapping neighbourhoods: they cover, their weights add up to one, and what they predict has no seam."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmorep.grids import Grid
from atmorep.inference.blend import Blend, Cover, Line


@st.composite
def lines(draw):
    extent = draw(st.integers(1, 30))
    return Line(draw(st.integers(extent, 150)), extent, draw(st.booleans()))


@given(lines())
def test_neighbourhoods_cover_every_point_and_lie_in_the_domain(line):
    count = np.zeros(line.size, int)
    for start in line.starts:
        assert 0 <= start < line.size
        assert line.periodic or start + line.extent <= line.size
        count[line.points(start)] += 1
    assert count.min() >= 1


@given(lines())
def test_weights_at_every_point_add_up_to_one(line):
    total = np.zeros(line.size)
    for start, weights in zip(line.starts, line.weights, strict=True):
        assert (weights > 0).all()
        total[line.points(start)] += weights
    np.testing.assert_allclose(total, 1)


@given(lines())
def test_neighbours_overlap_by_half_or_more(line):
    ends = [*line.starts, *([line.starts[0] + line.size] if line.periodic else [])]
    assert max(np.diff(ends), default=0) <= max(1, line.extent // 2)


def partition(grid, rows, columns):
    """Which neighbourhood each point would come from without overlap."""
    down, across = np.arange(grid.shape[0]) // rows, np.arange(grid.shape[1]) // columns
    return down[:, None] * 1000 + across


def blended(grid, cover, predict):
    blend = Blend(cover, ())
    for number, tile in enumerate(cover.tiles):
        blend.add(tile, predict(number, tile))
    return blend.values


def test_what_all_neighbourhoods_agree_on_is_kept():
    grid = Grid(90, 0, 3, (61, 120))
    cover = Cover.of(grid, 15, 20)
    values = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    kept = blended(grid, cover, lambda _, tile: cover.cut(values, tile))
    np.testing.assert_allclose(kept, values, atol=1e-6)


def test_the_seam_of_neighbourhoods_that_disagree_is_small_round_the_globe():
    """Each is off by a constant of its own, of variance one: without overlap it shows as steps at borders."""
    grid, random = Grid(90, 0, 3, (61, 120)), np.random.default_rng(1)
    cover = Cover.of(grid, 15, 20)
    offsets = random.normal(size=len(cover.tiles)).astype(np.float32)
    smooth = blended(grid, cover, lambda number, _: np.full((15, 20), offsets[number], np.float32))
    rough = random.normal(size=5000)[partition(grid, 15, 20)]
    seams = {
        name: np.abs(np.diff(x, axis=1, append=x[:, :1])).max() for name, x in (("a", smooth), ("b", rough))
    }
    assert seams["b"] > 2
    assert seams["a"] < 0.25 * seams["b"]
    border = np.abs(np.diff(smooth, axis=1, append=smooth[:, :1])).mean(0)
    assert border[-1] < 2 * border.mean()  # where longitudes begin again, as anywhere


class TestSeam:
    """As benchmarks/seam.py measures it: jumps between neighbourhoods over those between tokens within."""

    @pytest.fixture(autouse=True)
    def _measure(self, repository, monkeypatch):
        monkeypatch.syspath_prepend(repository / "benchmarks")
        import seam

        self.grid, self.module = Grid(90, 0, 3, (61, 120)), seam
        self.cover = Cover.of(self.grid, 15, 20)

    def test_blocks_that_differ_by_one(self):
        """With noise of deviation 0.1, whose mean jump is 0.2 / √π: alone it has no seam."""
        apart = self.module.side_by_side(self.cover)
        noise = np.random.default_rng(2).normal(scale=0.1, size=(50, 61, 120))
        assert abs(self.module.seam(noise, apart, (5, 5)) - 1) < 0.05
        blocks = noise + np.arange(120) // 20 % 2
        assert abs(self.module.seam(blocks, apart, (5, 5)) - np.sqrt(np.pi) / 0.2) < 0.3

    def test_neighbourhoods_that_disagree_have_one_side_by_side_and_none_blended(self):
        """Each is off by a constant of its own, of variance one, and its tokens by a tenth of that."""
        random = np.random.default_rng(3)

        def predict(number, tile):
            return offsets[number] + np.kron(random.normal(scale=0.1, size=(20, 3, 4)), np.ones((5, 5)))

        ratios = []
        for cover in (self.module.side_by_side(self.cover), self.cover):
            offsets, blend = random.normal(size=(len(cover.tiles), 20, 1, 1)), Blend(cover, (20,))
            for number, tile in enumerate(cover.tiles):
                blend.add(tile, predict(number, tile))
            ratios.append(self.module.seam(blend.values, cover, (5, 5)))
        apart, blended = ratios
        assert apart > 7
        assert blended < 1.2
