"""A field and a source as docs/extending.md adds them, to the store."""

from typing import Literal

import numpy as np
import xarray as xr
from documented import shown

from atmorep.config import Config
from atmorep.config.base import Section
from atmorep.fields import FIELDS, Field
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import Group, Source, Target, grib
from atmorep.sources.check import level_type
from atmorep.sources.grib_writer import GribWriter
from atmorep.store.convert import convert
from atmorep.timeaxis import Span, data_spans

from .conftest import build, values


def test_a_field_is_a_row(repository, experiment, monkeypatch):
    (row,) = shown(repository / "docs/extending.md", "field")
    field = eval(row, {"Field": Field})  # noqa: S307
    monkeypatch.setitem(FIELDS, field.name, field)
    monkeypatch.setitem(grib._BY_PARAM, field.param_id, field.name)
    config = build(experiment(fields={field.name: None}))
    with xr.open_zarr(Paths(config).store, consolidated=False) as store:
        found = store[field.name]
        assert found.attrs["standard_name"] == field.standard_name
        assert found.attrs["units"] == field.units
        time = np.datetime64("2020-02-01T06", "h")
        expected = values(Grid.from_config(config.data.grid), field.name, 0, time)
        np.testing.assert_allclose(found.sel(time=time).squeeze(), expected, atol=1e-2)


def test_a_source_is_two_classes(repository, experiment):
    config = experiment()
    known = (Config, Section, Group, Grid, GribWriter, Span, level_type)
    names = {"np": np, "Literal": Literal, "Target": Target, **{thing.__name__: thing for thing in known}}
    for program in shown(repository / "docs/extending.md", "source"):
        exec(compile(program, "extending.md", "exec"), names)
    source: Source = names["Constant"](config, names["ConstantSource"](kind="constant", value=281.5))
    source.check()
    for group in source.groups():
        for span in data_spans(config.data):
            source.fetch(group, span, lambda field, level, span=span: Paths(config).raw(field, level, span))
            convert(config, group.name, str(span))
    with xr.open_zarr(Paths(config).store, consolidated=False) as store:
        held = store["t"].sel(time=slice("2020-01-24", "2020-02-06T18"))
        np.testing.assert_allclose(held, 281.5)
