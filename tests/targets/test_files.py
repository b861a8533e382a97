"""Files on disk: found by day, month or not at all, used where they are, unpacked where they are packed."""

import bz2
import gzip
import os

import pytest

from atmorep.artefacts import crc32c, read_json
from atmorep.cli import main
from atmorep.config import parse
from atmorep.errors import DataError, SourceError
from atmorep.paths import Paths
from atmorep.targets.source import open_target_source
from atmorep.targets.stage import check_one, download
from atmorep.timeaxis import Span

from .experiment import DAYS, experiment

JANUARY, FEBRUARY = map(Span.parse, DAYS)


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()


def configured(pattern):
    source = {"kind": "files", "folder": "raw", "pattern": pattern}
    relief = {"source": {**source, "pattern": "relief.*"}, "variable": "z", "units": "m"}
    values = experiment({"source": source}).model_dump(mode="json")
    return parse({**values, "statics": {"relief": relief, "dated": {**relief, "source": source}}})


def write(tmp_path, *names):
    for name in names:
        path = tmp_path / "raw" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)


def fetched(config, span, name="fine"):
    folder = Paths(config).target_files(config.targets["fine"].source)
    return [str(path) for path in open_target_source(config, name).fetch(span, folder)]


@pytest.mark.parametrize(
    ("pattern", "before", "own"),
    [
        ("{year}{month}.nc", ["raw/202001.nc"], ["raw/202002.nc"]),
        ("{year}/{month}_*.nc", ["raw/2020/01_a.nc", "raw/2020/01_b.nc"], ["raw/2020/02_c.nc"]),
        ("{year}{month}{day}.nc", ["raw/20200131.nc"], ["raw/20200201.nc", "raw/20200202.nc"]),
        ("all.zarr", [], ["raw/all.zarr"]),
        ("*.gr?b", [], ["raw/a.grib"]),
    ],
)
def test_a_span_has_its_own_files_and_those_of_the_day_before_in_place(tmp_path, pattern, before, own):
    write(tmp_path, "202001.nc", "202002.nc", "2020/01_a.nc", "2020/01_b.nc", "2020/02_c.nc", "a.grib")
    write(tmp_path, *(f"202001{day}.nc" for day in (29, 30, 31)), "20200201.nc", "20200202.nc", "20200203.nc")
    write(tmp_path, "all.zarr/zarr.json")
    assert fetched(configured(pattern), FEBRUARY) == [*before, *own]
    assert not (tmp_path / "data").exists()


def test_the_day_before_may_be_absent(tmp_path):
    write(tmp_path, "20200201.nc", "20200202.nc")
    assert fetched(configured("{year}{month}{day}.nc"), FEBRUARY) == ["raw/20200201.nc", "raw/20200202.nc"]


def test_single_days_may_be_absent_and_are_named(tmp_path, caplog):
    write(tmp_path, "20200202.nc")
    assert fetched(configured("{year}{month}{day}.nc"), FEBRUARY) == ["raw/20200202.nc"]
    assert "fine: no files of 1 days, which will be missing: 2020-02-01" in caplog.text


def test_a_missing_month_is_named_beforehand(tmp_path):
    write(tmp_path, "202001.nc")
    message = r"raw/202002.nc: no such file \(fine, 2020-02-01_2020-02-02\); correct source.folder"
    config = configured("{year}{month}.nc")
    with pytest.raises(SourceError, match=message):
        check_one(config, "fine")
    with pytest.raises(SourceError, match=message):
        download(config, "fine", str(FEBRUARY))
    assert not (tmp_path / "data").exists()


def test_static_fields(tmp_path):
    config = configured("{year}{month}.nc")
    with pytest.raises(SourceError, match=r"raw/relief.\*: no such file \(relief, static\)"):
        check_one(config, "relief")
    write(tmp_path, "relief.nc")
    check_one(config, "relief")
    assert fetched(config, None, "relief") == ["raw/relief.nc"]
    with pytest.raises(SourceError, match=r"statics.dated.source.pattern: .* names a date"):
        check_one(config, "dated")


def test_packed_files_are_unpacked_once_and_anew_when_they_change(tmp_path):
    path = tmp_path / "raw/202002.grb.bz2"
    path.write_bytes(bz2.compress(b"first"))
    config = configured("{year}{month}.grb.bz2")
    (unpacked,) = fetched(config, FEBRUARY)
    assert unpacked.startswith("data/targets/files/files-")
    assert unpacked.endswith("/202002.grb")
    assert (tmp_path / unpacked).read_bytes() == b"first"
    stamp = (tmp_path / unpacked).stat().st_mtime_ns
    assert fetched(config, FEBRUARY) == [unpacked]
    assert (tmp_path / unpacked).stat().st_mtime_ns == stamp
    path.write_bytes(bz2.compress(b"other"))
    os.utime(path, ns=(0, stamp + 1))
    (again,) = fetched(config, FEBRUARY)
    assert (tmp_path / again).read_bytes() == b"other"


def test_a_real_archive_of_a_day(tmp_path, shared):
    (tmp_path / "raw/RW-20200201.tar.gz").symlink_to(
        shared / "radar_precip/radolan_wradlib/RW-20221018.tar.gz"
    )
    found = fetched(configured("RW-{year}{month}{day}.tar.gz"), FEBRUARY)
    assert len(found) == 24


def test_a_packed_file_cut_short(tmp_path):
    (tmp_path / "raw/202002.nc.gz").write_bytes(gzip.compress(bytes(10000))[:-9])
    with pytest.raises(DataError, match=r"raw/202002.nc.gz: is cut short or damaged .*; get the file again"):
        download(configured("{year}{month}.nc.gz"), "fine", str(FEBRUARY))
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_the_commands(tmp_path, capsys):
    write(tmp_path, "202001.nc", "202002.nc", "relief.nc")
    config = configured("{year}{month}.nc")
    (tmp_path / "experiment.json").write_text(config.model_dump_json())
    arguments = ["--config", "experiment.json"]
    assert main(["download-target", *arguments, "--target", "fine", "--span", *DAYS]) == 0
    assert main(["download-static", *arguments, "--static", "relief"]) == 0
    paths = Paths(config)
    (january,) = read_json(paths.target_raw("fine", JANUARY))["files"]
    crc = crc32c(tmp_path / "raw/202001.nc")
    assert january == {"path": "raw/202001.nc", "size": 9, "crc32c": crc}
    assert [entry["path"] for entry in read_json(paths.static_raw("relief"))["files"]] == ["raw/relief.nc"]
    assert main(["download-target", *arguments, "--target", "coarse", "--span", *DAYS]) == 2
    assert "'coarse' is not declared in targets; there is fine" in capsys.readouterr().err
    assert main(["download-static", *arguments, "--static", "fine"]) == 2
    assert "'fine' is not declared in statics; there is relief, dated" in capsys.readouterr().err


def test_a_zarr_store_is_listed_by_its_metadata(tmp_path):
    write(tmp_path, "all.zarr/zarr.json", "all.zarr/0")
    config = configured("all.zarr")
    download(config, "fine", str(FEBRUARY))
    (entry,) = read_json(Paths(config).target_raw("fine", FEBRUARY))["files"]
    assert (entry["path"], entry["size"]) == ("raw/all.zarr", len("all.zarr/zarr.json"))
    (tmp_path / "raw/all.zarr/zarr.json").unlink()
    with pytest.raises(DataError, match=r"all.zarr: is a folder without zarr.json or"):
        download(config, "fine", str(FEBRUARY))
