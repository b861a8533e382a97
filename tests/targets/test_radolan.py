"""Radar composites: values as wradlib reads them, DWD's corners and times, and what is refused."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from atmorep.errors import DataError
from atmorep.targets.product import Product, open_product
from atmorep.targets.radolan import composite_geometry
from tests.targets.products import target

RADAR = {
    "RW": "radar_precip/radklim_rw/raa01-rw2017.002_10000-1712310850-dwd---bin",
    "YW": "radar_precip/radklim_rw/raa01-yw2017.002_10000-2006131525-dwd---bin",
    "gz": "radar_precip/radolan_wradlib/raa01-rw_10000-1408102050-dwd---bin.gz",
}


def opened(product: str, *files: Path) -> Product:
    """The product of ``files`` in metres."""
    return open_product(target(product, "mm", "tp", kind="sum"), files)


# Sums and largest values in mm with their row and column: wradlib 2.9.6, read_radolan_composite with
# -9999 as NaN. Clutter is kept by it; the RADOLAN sample has none.
@pytest.mark.parametrize(
    ("name", "product", "missing", "total", "largest", "at"),
    [
        ("RW", "RW", 554836, 69637.4, 6.2, (518, 731)),
        ("YW", "YW", 450161, 37832.64, 13.75, (623, 790)),
        ("gz", "RW", 179061, 422251.4, 38.6, (330, 488)),
    ],
)
def test_values_are_those_that_wradlib_reads(
    shared: Path, name: str, product: str, missing: int, total: float, largest: float, at: tuple[int, int]
) -> None:
    values = opened(product, shared / RADAR[name]).read(0).astype(np.float64) * 1000
    assert np.isnan(values).sum() == missing
    assert np.nansum(values) == pytest.approx(total, rel=1e-6)
    assert values[at] == np.nanmax(values) == pytest.approx(largest, rel=1e-6)


def test_times_are_the_ends_of_intervals_that_tile_an_hour(shared: Path) -> None:
    """Twelve 5-minute sums, labelled 00:55 to 01:50, make the hour of the hourly sum labelled 01:50."""
    files = sorted((shared / "radar_precip/radklim_yw_20170816").iterdir())
    product = opened("YW", *reversed(files))
    assert product.intervals[0, 0] == np.datetime64("2017-08-16T00:50")
    assert product.intervals[-1, 1] == np.datetime64("2017-08-16T01:50")
    np.testing.assert_array_equal(product.intervals[1:, 0], product.intervals[:-1, 1])
    total = product.read(0).astype(np.float64)
    assert np.nansum(total) * 1000 == pytest.approx(18430.79, rel=1e-6)
    hour = opened("RW", shared / RADAR["RW"]).intervals
    np.testing.assert_array_equal(hour, np.array([["2017-12-31T07:50", "2017-12-31T08:50"]], "M8[m]"))


# Lower left, lower right, upper right, upper left: DWD's table, "RADOLAN/RADVOR Kompositformat", as in the
# documentation of wradlib.georef.get_radolan_grid.
@pytest.mark.parametrize(
    ("shape", "corners"),
    [
        ((900, 900), [(3.5889, 46.9526), (14.6209, 47.0705), (15.7208, 54.7405), (2.0715, 54.5877)]),
        ((1100, 900), [(4.6759, 46.1929), (15.4801, 46.1827), (17.1128, 55.5342), (3.0889, 55.5482)]),
    ],
)
def test_corners_are_the_published_ones(shape: tuple[int, int], corners: list[tuple[float, float]]) -> None:
    geometry = composite_geometry(shape)
    assert geometry.shape == shape
    ends = [(0, 0), (0, -1), (-1, -1), (-1, 0)]
    found = [(geometry.corner_longitude[end], geometry.corner_latitude[end]) for end in ends]
    np.testing.assert_allclose(found, corners, atol=5.1e-5)


def test_grid_is_turned_by_the_meridian(shared: Path) -> None:
    """On a polar-stereographic plane the x axis is turned against east by the distance from its meridian."""
    geometry = opened("RW", shared / RADAR["RW"]).geometry
    np.testing.assert_allclose(np.degrees(geometry.angle), 10 - geometry.longitude, atol=1e-4)


def composite(folder: Path, values: dict[int, int], header: dict[bytes, bytes] | None = None) -> Path:
    """A RADOLAN composite that holds 0 but for ``values`` by place; ``header`` replaces parts."""
    text = (
        b"RW102050100000814BY1620098VS 3SW   2.13.1PR E-01INT  60GP 900x 900MS 20<boo,ros,emd,hnr,umd>".ljust(
            97
        )
    )
    for old, new in (header or {}).items():
        assert old in text
        text = text.replace(old, new)
    data = np.zeros(810_000, "<u2")
    data[list(values)] = list(values.values())
    path = folder / "raa01-rw_10000-1408102050-dwd---bin"
    path.write_bytes(text + b"\x03" + data.tobytes())
    return path


def test_flags(tmp_path: Path) -> None:
    """Interpolated values count; no data and, outside RADKLIM, clutter are missing; never zero."""
    held = {0: 0x1000 | 12, 1: 0x2000 | 2500, 2: 0x8000 | 7, 3: 4095}
    values = opened("RW", composite(tmp_path, held)).read(0)[0]
    np.testing.assert_allclose(values[:5] * 1000, [1.2, np.nan, np.nan, 409.5, 0], rtol=1e-6)


def test_corrected_clutter_counts(shared: Path) -> None:
    path = shared / RADAR["RW"]
    packed = np.frombuffer(path.read_bytes().partition(b"\x03")[2], "<u2")
    clutter = (packed & 0x8000 > 0).reshape(1100, 900)
    assert clutter.sum() == 1037
    assert np.isfinite(opened("RW", path).read(0)[clutter]).all()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({b"RW": b"RX"}, "product RX, which is not a sum"),
        ({b"RW": b"RY"}, "holds the product RY, not RW; correct 'variable'"),
        ({b"900x 900": b"700x 900"}, "grid of 700 x 900"),
        ({b"VS 3": b"VS 5"}, "format version 5"),
        ({b"BY1620098": b"BY1620099"}, "its header says 1620099"),
        ({b"102050": b"332050"}, "has no date"),
    ],
)
def test_other_composites_are_refused(tmp_path: Path, header: dict[bytes, bytes], message: str) -> None:
    path = composite(tmp_path, {}, header)
    with pytest.raises(DataError, match=message) as error:
        opened("RW", path)
    assert str(path) in str(error.value)


def test_negative_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="negative precipitation"):
        opened("RW", composite(tmp_path, {5: 0x4000 | 3})).read(0)


def test_truncated_files_are_refused(tmp_path: Path, shared: Path) -> None:
    short = tmp_path / "short"
    short.write_bytes((shared / RADAR["RW"]).read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{short}: is 1980163 bytes long"):
        opened("RW", short)
    packed = tmp_path / "short.gz"
    packed.write_bytes((shared / RADAR["gz"]).read_bytes()[:-100])
    with pytest.raises(DataError, match=f"{packed}: cannot be read"):
        opened("RW", packed).read(0)
    packed.write_bytes(gzip.compress(gzip.decompress((shared / RADAR["gz"]).read_bytes())[:-2]))
    with pytest.raises(DataError, match="cut short"):
        opened("RW", packed).read(0)


def test_mixed_files_are_refused(tmp_path: Path, shared: Path) -> None:
    one, other = shared / RADAR["RW"], shared / RADAR["gz"]
    with pytest.raises(DataError, match="another grid"):
        opened("RW", one, other)
    again = tmp_path / "again"
    again.write_bytes(one.read_bytes())
    with pytest.raises(DataError, match=r"holds 2017-12-31T08:50, as .* does; keep one"):
        opened("RW", one, again)


def test_declarations_that_do_not_fit_are_refused(shared: Path) -> None:
    path = shared / RADAR["RW"]
    with pytest.raises(DataError, match=r"kind sum, but the target's time\.kind is instant"):
        open_product(target("RW", "mm", "tp"), [path])
    with pytest.raises(DataError, match="unit 'mm' is not K"):
        open_product(target("RW", "K", "2t", kind="sum"), [path])


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("rain")
    with pytest.raises(DataError, match=r"notes\.txt: is neither"):
        opened("RW", path)
