"""What an experiment comes to agrees with what can be counted by hand, and with a real message."""

import pytest

from atmorep.config import load
from atmorep.grids import Grid
from atmorep.scale import PEAK, SHARE, Scale, Stage, table

DAYS = 40 * 365 + 10 + 365  # 1979 to 2018 with ten leap days, and 2021
MONTHS = 41 * 12
POINTS = 721 * 1440


@pytest.fixture(scope="module")
def full(repository):
    """The full reproduction: five fields on five levels, hourly."""
    return Scale(load(repository / "config/config.yaml"))


def test_raw_files_are_all_fields_levels_and_hours(full):
    stage = full.download()
    assert (stage.jobs, stage.requests, stage.files) == (MONTHS, MONTHS, 2 * 25 * MONTHS)
    assert stage.size == 25 * 24 * DAYS * POINTS * 2


def test_the_largest_request_is_a_month_of_31_days(full):
    assert full.largest_request() == (25 * 24 * 31, 25 * 24 * 31 * POINTS * 2)


def test_the_store_has_a_shard_a_field_and_day(full):
    stage = full.convert()
    assert (stage.jobs, stage.files) == (5 * MONTHS, 5 * (DAYS + MONTHS))
    assert 0.5 < stage.size / full.download().size < 1


def test_statistics_by_grid_point_are_what_takes_room(full):
    """Temperature is normalised by grid point, the others by level."""
    cells = 5 * POINTS + 4 * 5
    assert full.sums().size == 39 * 12 * 3 * 8 * cells
    assert full.statistics().size == 12 * 2 * 4 * cells
    assert (full.compare().jobs, full.sums().jobs) == (5 * 41, 5 * 39)


def test_a_real_message_is_as_long_as_reckoned(shared, full):
    """33 x 49 points of 16 bits; headers are what it is more."""
    scale = Scale(full.config)
    scale.__dict__["grid"] = Grid(58.0, -10.0, 0.25, (33, 49))
    size = (shared / "era5_grib/era5-2mt-2019-03-uk.grib").stat().st_size / 744
    assert scale.message < size < 1.05 * scale.message


@pytest.mark.parametrize("over", [(), ("published/whole-record.yaml",)])
def test_the_page_says_what_is_counted(repository, over):
    """Rows of data; to count operations takes too long for each test."""
    config = load(*(repository / "config" / name for name in ("config.yaml", *over)))
    scale, page = Scale(config), (repository / "docs/scale.md").read_text()
    for stage in (scale.download(), scale.convert(), scale.compare(), scale.sums(), scale.statistics()):
        assert table([stage]).splitlines()[2] in page


def test_hours_are_operations_over_the_rate():
    stage = Stage("pretrain", 1, operations=3600 * PEAK["bf16-mixed"] * SHARE, precision="bf16-mixed")
    assert stage.gpu_hours == pytest.approx(1)


def test_the_table_sums_up():
    stages = [Stage("download", 2, files=3, size=4e9), Stage("report", 1)]
    assert table(stages).splitlines()[2:] == [
        "| download | 2 |  | 3 | 4 |  |  |",
        "| report | 1 |  |  |  |  |  |",
        "| all | 3 |  | 3 | 4 |  |  |",
    ]
