import json

import numpy as np
import pytest

from atmorep import integrity
from atmorep.artefacts import crc32c
from atmorep.config import load, parse
from atmorep.errors import IntegrityError
from atmorep.paths import Paths
from atmorep.sources.stage import download
from atmorep.store.arrays import open_array
from atmorep.store.compare import compare
from atmorep.store.convert import convert
from atmorep.store.reader import FieldReader

from .conftest import JANUARY, build


def test_outcome_states_error_and_tolerance(experiment):
    config = build(experiment())
    compare(config, "t", JANUARY)
    outcome = integrity.read(Paths(config).compared("t", JANUARY))
    assert outcome["hours"] == 32
    assert outcome["missing"] == []
    assert 0 < outcome["max_abs_error"] <= outcome["tolerance"]


def test_missing_hours_are_counted_out(experiment):
    config = build(experiment(record_missing=True), skip=("2020-01-25T06",))
    compare(config, "t", JANUARY)
    outcome = integrity.read(Paths(config).compared("t", JANUARY))
    assert (outcome["hours"], outcome["missing"]) == (31, ["2020-01-25T06"])


@pytest.mark.parametrize("place", [0.0, 0.3, 0.7, 0.999])
def test_a_flipped_bit_is_found(experiment, place):
    config = build(experiment())
    shard = Paths(config).store / "t/c/27/0/0/0"
    data = bytearray(shard.read_bytes())
    data[int(place * len(data))] ^= 4
    shard.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"t/c/27/0/0/0.*convert"):
        compare(config, "t", JANUARY)
    assert not Paths(config).compared("t", JANUARY).exists()


def test_a_flipped_bit_is_found_in_reading_too(experiment):
    config = build(experiment())
    shard = Paths(config).store / "t/c/27/0/0/0"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 4
    shard.write_bytes(data)
    with pytest.raises(IntegrityError, match="convert"):
        FieldReader(config, "t").read(27 * 4, 4, 0, 20, 0, 40)


def test_an_absent_shard_is_found(experiment):
    config = build(experiment())
    (Paths(config).store / "t/c/28/0/0/0").unlink()
    with pytest.raises(IntegrityError, match=r"t/c/28/0/0/0: is missing; rerun .atmorep convert"):
        compare(config, "t", JANUARY)


def test_a_manifest_that_lacks_a_shard_is_found(experiment):
    config = build(experiment())
    part = Paths(config).part("t", JANUARY)
    manifest = integrity.read(part)
    del manifest["files"][3]
    part.write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match="t/c/26/0/0/0"):
        compare(config, "t", JANUARY)


def _rewrite(config, change):
    """Alter the first day in the store and make the manifest agree, so that only values can tell."""
    array = open_array(Paths(config).store, "t")
    values = array[92:96].read().result().copy()
    change(values)
    array[92:96].write(values).result()
    part, shard = Paths(config).part("t", JANUARY), Paths(config).store / "t/c/23/0/0/0"
    manifest = integrity.read(part)
    manifest["files"][0] |= {"size": shard.stat().st_size, "crc32c": crc32c(shard)}
    part.write_text(json.dumps(manifest))


def test_a_value_beyond_the_rounding_is_found(experiment):
    config = build(experiment())

    def change(values):
        values[2, 1, 3, 4] += 0.01

    _rewrite(config, change)
    with pytest.raises(IntegrityError, match=r"level 137, 2020-01-24T12.*differs"):
        compare(config, "t", JANUARY)


def test_a_lost_value_is_found(experiment):
    config = build(experiment())

    def change(values):
        values[1] = np.nan

    _rewrite(config, change)
    with pytest.raises(IntegrityError, match=r"2020-01-24T06.*differs"):
        compare(config, "t", JANUARY)


def test_hours_wrongly_recorded_as_missing_are_found(experiment):
    config = build(experiment(record_missing=True))
    part = Paths(config).part("t", JANUARY)
    part.write_text(json.dumps(integrity.read(part) | {"missing": ["2020-01-26T06"]}))
    with pytest.raises(IntegrityError, match=r"2020-01-26T06.*recorded as missing"):
        compare(config, "t", JANUARY)


def test_netcdf_is_kept_to_the_last_bit(repository, shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = load(repository / "config/examples/western-europe.yaml").model_dump(mode="json")
    values["source"]["folder"] = str(shared / "era5_netcdf/western_europe_1deg_6h")
    config = parse(values)
    download(config, "2t", "1985-02")
    convert(config, "2t", "1985-02")
    compare(config, "2t", "1985-02")
    outcome = integrity.read(Paths(config).compared("2t", "1985-02"))
    assert (outcome["hours"], outcome["max_abs_error"], outcome["tolerance"]) == (112, 0, 0)
    array, part = open_array(Paths(config).store, "2t"), Paths(config).part("2t", "1985-02")
    day = array[124:128].read().result().copy()  # 1 February
    day[2, 0, 3, 4] = np.nextafter(day[2, 0, 3, 4], np.float32(np.inf))
    array[124:128].write(day).result()
    manifest = integrity.read(part)
    shard = Paths(config).store / manifest["files"][0]["path"]
    manifest["files"][0] |= {"size": shard.stat().st_size, "crc32c": crc32c(shard)}
    part.write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match=r"1985-02-01T12.*differs"):
        compare(config, "2t", "1985-02")
