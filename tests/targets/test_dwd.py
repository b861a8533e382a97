"""COSMO-REA6 and RADKLIM from a loopback server with the real layout, real files inside its archives."""

import bz2
import datetime as dt
import gzip
import io
import tarfile
from pathlib import Path

import pytest

from atmorep.artefacts import crc32c, read_json
from atmorep.config import parse
from atmorep.config.target import DwdTarget
from atmorep.errors import ConfigError, DataError, SourceError
from atmorep.paths import Paths
from atmorep.targets.dwd_layout import layout
from atmorep.targets.source import open_target_source
from atmorep.targets.stage import check_one, download, download_static
from atmorep.timeaxis import Span

from .dwd_server import DwdServer
from .experiment import experiment

COSMO = "climate_environment/REA/COSMO_REA6"
GRIDS = "climate_environment/CDC/grids_germany"
HOURLY = f"{GRIDS}/hourly/radolan/reproc/2017_002"
MINUTES = f"{GRIDS}/5_minutes/radolan/reproc/2017_002"


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server():
    with DwdServer() as running:
        yield running


def configured(server, product, months=None, statics=None, **keys):
    """A configuration with the target ``fine`` from ``product``, for four days of 2020, or three months."""
    patience = {"retries": 2, "backoff_seconds": 0.01}
    source = {"kind": "dwd", "url": server.url, "product": product, **patience, **keys}
    values = experiment({"source": source}).model_dump(mode="json")
    for period, month in zip(("train", "validation", "test"), months or (), strict=False):
        span = Span.parse(month)
        values["data"]["periods"][period] = [{"start": span.start, "end": span.end}]
    return parse({**values, "statics": statics or {}})


def tar(members, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def delivered(config, span):
    """Content of the files that the stage lists for a span, by name."""
    download(config, "fine", span)
    return listed(Paths(config).target_raw("fine", Span.parse(span)))


def listed(path, key="files"):
    """Content of listed files by name; the list is checked against them."""
    found = {}
    for entry in read_json(path)[key]:
        path = Path(entry["path"])
        assert (path.stat().st_size, crc32c(path)) == (entry["size"], entry["crc32c"])
        found[path.name] = path.read_bytes()
    return found


def asked(server):
    return [path.rsplit("/", 1)[-1] for path, _ in server.requests]


@pytest.fixture(scope="module")
def grib(shared):
    return (shared / "rotated_grid/dwd_cosmo_eu_FIS_rotated_ll.grib1").read_bytes()


@pytest.fixture(scope="module")
def packed(grib):
    """Packs the GRIB of a month: a stream for what all months have in common, one for what is its own."""
    common = bz2.compress(grib)
    return lambda month: common + bz2.compress(month.encode())


@pytest.fixture
def hour(shared):
    return (shared / "radar_precip/radklim_rw/raa01-rw2017.002_10000-1712310850-dwd---bin").read_bytes()


@pytest.fixture
def minutes(shared):
    """Two real 5-minute files, as gzip."""
    paths = sorted((shared / "radar_precip/radklim_yw_20170816").iterdir())
    return {path.name: path.read_bytes() for path in paths[:2]}


# -- layout ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "month", "path"),
    [
        (
            {"product": "cosmo_rea6", "parameter": "T_2M"},
            dt.date(1995, 1, 1),
            f"{COSMO}/hourly/2D/T_2M/T_2M.2D.199501.grb.bz2",
        ),
        ({"product": "radklim_rw"}, dt.date(2017, 12, 1), f"{HOURLY}/bin/2017/RW2017.002_201712.tar.gz"),
        ({"product": "radklim_yw"}, dt.date(2020, 6, 1), f"{MINUTES}/bin/2020/YW2017.002_202006.tar"),
        (
            {"product": "radklim_rw", "form": "netcdf"},
            dt.date(2001, 7, 1),
            f"{HOURLY}/netCDF/2001/RW2017.002_2001_netcdf.tar.gz",
        ),
        (
            {"product": "radklim_yw", "form": "netcdf"},
            dt.date(2021, 7, 1),
            f"{MINUTES}/netCDF/supplement/YW2017.002_2021_netcdf_supplement.tar.gz",
        ),
    ],
)
def test_archives_are_where_the_server_has_them(keys, month, path):
    place = layout(DwdTarget(kind="dwd", **keys)).place(month)
    assert f"{place.folder}/{place.name}" == path


# -- COSMO-REA6 ------------------------------------------------------------------------------------


@pytest.fixture
def cosmo(server, packed):
    """Puts months of a parameter on the server."""

    def put(*months, parameter="T_2M"):
        for month in months:
            name = f"{COSMO}/hourly/2D/{parameter}/{parameter}.2D.{month}.grb.bz2"
            server.files[name] = packed(month)

    return put


def test_a_month_comes_with_the_month_before_in_whose_file_its_first_hour_is(server, cosmo, grib):
    cosmo("201906", "201907", "201908")
    config = configured(server, "cosmo_rea6", parameter="T_2M")
    expected = {f"T_2M.2D.{month}.grb": grib + month.encode() for month in ("201906", "201907")}
    assert delivered(config, "2019-07") == expected
    assert delivered(config, "2019-08-02_2019-08-03") == {"T_2M.2D.201908.grb": grib + b"201908"}
    assert sorted(asked(server)) == [f"T_2M.2D.{month}.grb.bz2" for month in ("201906", "201907", "201908")]


def test_the_first_month_has_none_before(server, cosmo):
    cosmo("199501")
    config = configured(server, "cosmo_rea6", parameter="T_2M")
    assert list(delivered(config, "1995-01")) == ["T_2M.2D.199501.grb"]
    assert asked(server) == ["T_2M.2D.199501.grb.bz2"]


def test_a_month_before_that_is_absent_is_done_without(server, cosmo, caplog):
    cosmo("201907")
    config = configured(server, "cosmo_rea6", parameter="T_2M")
    assert list(delivered(config, "2019-07")) == ["T_2M.2D.201907.grb"]
    assert "T_2M.2D.201906.grb.bz2: the server has no such file; values that end at 00 UTC" in caplog.text


def test_targets_that_name_the_same_source_share_its_files(server, cosmo):
    for parameter in ("U_10M", "V_10M"):
        cosmo("201906", "201907", parameter=parameter)
    config = configured(server, "cosmo_rea6", parameter="U_10M")
    wind = config.targets["fine"].model_dump(mode="json") | {"field": "10u"}
    other = {**wind["source"], "parameter": "V_10M"}
    u = {**wind, "vector": "u", "partner": "V_10M", "partner_source": other}
    v = {**u, "field": "10v", "vector": "v", "partner": "U_10M"}
    v |= {"source": other, "partner_source": wind["source"]}
    config = parse({**config.model_dump(mode="json"), "targets": {"u": u, "v": v}})
    for name in ("u", "v"):
        download(config, name, "2019-07")
    raw = {name: Paths(config).target_raw(name, "2019-07") for name in ("u", "v")}
    assert set(listed(raw["u"])) == {"U_10M.2D.201906.grb", "U_10M.2D.201907.grb"}
    assert listed(raw["u"], "partner") == listed(raw["v"])
    assert listed(raw["v"], "partner") == listed(raw["u"])
    assert len(server.requests) == 4


def test_constant_fields(server, shared):
    relief = (shared / "rotated_grid/HSURF_regional_model_0.11deg.nc").read_bytes()
    name = "COSMO_REA6_CONST_withOUTsponge.nc"
    server.files[f"{COSMO}/constant/{name}.bz2"] = bz2.compress(relief)
    source = {"kind": "dwd", "url": server.url, "product": "cosmo_rea6", "parameter": "constant"}
    relief_of = {"relief": {"source": source, "variable": "HSURF", "units": "m"}}
    config = configured(server, "radklim_rw", statics=relief_of)
    check_one(config, "relief")
    download_static(config, "relief")
    assert listed(Paths(config).static_raw("relief")) == {name: relief}


# -- RADKLIM ---------------------------------------------------------------------------------------


def test_hours_as_binaries(server, hour):
    name = "raa01-rw2017.002_10000-{}-dwd---bin".format
    november = {name("1711302250"): b"RW", name("1711292350"): b"RW of the day before"}
    december = {name("1712010050"): b"RW first", name("1712310850"): hour, "readme.txt": b"no product"}
    server.files |= {
        f"{HOURLY}/bin/2017/RW2017.002_201711.tar.gz": tar(november, "w:gz"),
        f"{HOURLY}/bin/2017/RW2017.002_201712.tar.gz": tar(december, "w:gz"),
    }
    config = configured(server, "radklim_rw")
    last = {name("1711302250"): b"RW"}
    del december["readme.txt"]
    assert delivered(config, "2017-12") == last | december
    assert delivered(config, "2017-12-02_2017-12-31") == {
        name("1712010050"): b"RW first",
        name("1712310850"): hour,
    }
    assert delivered(config, "2017-12-30_2017-12-31") == {name("1712310850"): hour}
    assert len(server.requests) == 2
    with pytest.raises(SourceError, match=r"no file of 2017-12-10_2017-12-11 .*it holds raa01.*shorten"):
        delivered(config, "2017-12-10_2017-12-11")


def test_five_minutes_as_binaries_in_archives_of_days_in_archives_of_months(server, minutes):
    plain = {name.removesuffix(".gz"): gzip.decompress(data) for name, data in minutes.items()}
    days = {16: plain, 17: minutes}
    archives = {f"YW2017.002_201708{day}.tar.gz": tar(files, "w:gz") for day, files in days.items()}
    server.files[f"{MINUTES}/bin/2017/YW2017.002_201708.tar"] = tar(archives)
    config = configured(server, "radklim_yw")
    folder = Paths(config).target_files(config.targets["fine"].source)
    files = open_target_source(config, "fine").fetch(Span.parse("2017-08-16_2017-08-17"), folder)
    for day in days:  # one holds them packed once more
        found = [file for file in files if file.parent.name == f"YW2017.002_201708{day}"]
        assert {file.name: file.read_bytes() for file in found} == plain


def test_netcdf_in_archives_of_years(server):
    months = {f"2020/RW_2017.002_2020{month:02d}.nc": b"CDF%d" % month for month in range(1, 13)}
    server.files |= {
        f"{HOURLY}/netCDF/2020/RW2017.002_2020_netcdf.tar.gz": tar(months, "w:gz"),
        f"{HOURLY}/netCDF/supplement/RW2017.002_2021_netcdf_supplement.tar.gz": tar(
            {"RW_2017.002_202101.nc": b"corrected"}, "w:gz"
        ),
    }
    config = configured(server, "radklim_rw", form="netcdf")
    expected = {"RW_2017.002_202006.nc": b"CDF6", "RW_2017.002_202007.nc": b"CDF7"}
    assert delivered(config, "2020-07") == expected
    assert delivered(config, "2020-07-02_2020-07-03") == {"RW_2017.002_202007.nc": b"CDF7"}
    expected = {"RW_2017.002_202012.nc": b"CDF12", "RW_2017.002_202101.nc": b"corrected"}
    assert delivered(config, "2021-01") == expected
    assert len(server.requests) == 2


def test_days_of_netcdf(server):
    days = {f"2020/07/YW_2017.002_202007{day:02d}.nc": b"CDF%d" % day for day in range(1, 32)}
    server.files[f"{MINUTES}/netCDF/2020/YW2017.002_2020_netcdf.tar.gz"] = tar(days, "w:gz")
    config = configured(server, "radklim_yw", form="netcdf")
    found = delivered(config, "2020-07-05_2020-07-06")
    assert list(found) == [f"YW_2017.002_202007{day}.nc" for day in ("04", "05", "06")]


# -- what is broken --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop", "short", 503, 429])
def test_what_passes(server, cosmo, grib, fault):
    cosmo("201907")
    server.faults[f"{COSMO}/hourly/2D/T_2M/T_2M.2D.201907.grb.bz2"].append(fault)
    config = configured(server, "cosmo_rea6", parameter="T_2M")
    assert delivered(config, "2019-07-02_2019-07-03") == {"T_2M.2D.201907.grb": grib + b"201907"}


def test_an_archive_cut_short_by_the_server_is_fetched_anew_by_the_next_run(server, cosmo, grib):
    cosmo("201907")
    server.faults[f"{COSMO}/hourly/2D/T_2M/T_2M.2D.201907.grb.bz2"].append("less")
    config = configured(server, "cosmo_rea6", parameter="T_2M")
    span = "2019-07-02_2019-07-03"
    with pytest.raises(DataError, match=r"201907.grb.bz2: is cut short or damaged .*rerun to fetch it"):
        delivered(config, span)
    assert not Paths(config).target_raw("fine", span).exists()
    assert not [path for path in Path("data").rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert delivered(config, span) == {"T_2M.2D.201907.grb": grib + b"201907"}


def test_a_month_the_server_lacks(server, cosmo):
    cosmo("201906")
    config = configured(server, "cosmo_rea6", parameter="T_2M")
    with pytest.raises(SourceError, match=r"201907.grb.bz2: the server has no such file; shorten"):
        delivered(config, "2019-07")


# -- check -----------------------------------------------------------------------------------------

SUMMER = ("2019-06", "2019-07", "2019-08")


def test_a_month_that_is_missing_is_named_beforehand(server, cosmo):
    cosmo("201906", "201908")
    config = configured(server, "cosmo_rea6", SUMMER, parameter="T_2M")
    with pytest.raises(SourceError, match=r"hourly/2D/T_2M has no T_2M.2D.201907.grb.bz2; shorten"):
        check_one(config, "fine")
    cosmo("201907")
    check_one(config, "fine")
    assert asked(server) == ["T_2M", "T_2M"]


def test_an_unknown_parameter_names_the_known_ones(server, cosmo):
    cosmo("201906", "201907", "201908")
    cosmo("201906", parameter="PS")
    config = configured(server, "cosmo_rea6", SUMMER, parameter="T2M")
    with pytest.raises(SourceError, match="has no hourly parameter T2M; use one of PS, T_2M"):
        check_one(config, "fine")


def test_an_unknown_product_is_refused(server):
    with pytest.raises(ConfigError, match=r"targets.fine.source.product = 'radklim_ry'.*radklim_rw"):
        configured(server, "radklim_ry")


def test_months_before_and_after_the_product(server):
    for months, words in (
        (("1994-12", "1995-01", "1995-02"), "cosmo_rea6 has months from 1995-01 to 2019-08, not 1994-12"),
        (("2019-07", "2019-08", "2019-09"), "cosmo_rea6 has months from 1995-01 to 2019-08, not 2019-09"),
    ):
        with pytest.raises(SourceError, match=words):
            check_one(configured(server, "cosmo_rea6", months, parameter="T_2M"), "fine")
    with pytest.raises(SourceError, match="radklim_rw has months from 2001-01 on, not 2000-12"):
        check_one(configured(server, "radklim_rw", ("2000-12", "2001-01", "2001-02")), "fine")
    assert not server.requests


def test_constant_fields_are_static_and_others_are_not(server):
    with pytest.raises(SourceError, match=r"targets.fine.source.parameter: the constant fields"):
        check_one(configured(server, "cosmo_rea6", SUMMER, parameter="constant"), "fine")
    source = {"kind": "dwd", "url": server.url, "product": "radklim_rw"}
    statics = {"relief": {"source": source, "variable": "RW", "units": "mm"}}
    with pytest.raises(SourceError, match=r"statics.relief.source.parameter: the constant fields"):
        check_one(configured(server, "radklim_rw", statics=statics), "relief")


def test_a_year_the_server_lacks(server):
    with pytest.raises(SourceError, match=r"reproc/2017_002/bin/2020 is not there; shorten data.periods"):
        check_one(configured(server, "radklim_rw"), "fine")


def test_a_server_that_cannot_be_reached_stops_no_planning(caplog):
    with DwdServer() as server:
        pass
    check_one(configured(server, "radklim_rw"), "fine")
    assert "ConnectionError" in caplog.text


def test_an_address_without_encryption(server):
    config = configured(server, "radklim_rw", url="http://opendata.example.org")
    with pytest.raises(SourceError, match=r"http://opendata.example.org is not encrypted"):
        check_one(config, "fine")
