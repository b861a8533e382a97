"""Wind at sites: both components, out of files or predicted by a model, between the points of their grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from atmorep.config import load
from atmorep.config.site import Site, SiteStudy, WindFiles, WindModel
from atmorep.errors import DataError, SourceError
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.inference.commands import finetuned, pretrained
from atmorep.inference.dataset import named
from atmorep.inference.opened import open_inputs
from atmorep.paths import Paths
from atmorep.sources.gridded import GriddedField
from atmorep.sources.units import conversion
from atmorep.targets.interpolate import bilinear


def wind_at_sites(study: SiteStudy) -> xr.Dataset:
    """Return the wind of a study.

    Returns:
        ``eastward`` and ``northward`` (number, time, site) in m s-1, times increasing; attributes ``source``
        and ``input`` say what it was made from.

    Raises:
        AtmoRepError: if something is refused.
    """
    wind = study.wind
    datasets = open_inputs(wind.files) if isinstance(wind, WindFiles) else _predicted(wind)
    parts = {
        "eastward": _component(datasets, wind.eastward, study),
        "northward": _component(datasets, wind.northward, study),
    }
    if not parts["eastward"].coords.equals(parts["northward"].coords):
        raise DataError(
            f"{wind.eastward} and {wind.northward}: have not the same times and members; give both alike"
        )
    files = wind.files if isinstance(wind, WindFiles) else wind.inputs
    said = [str(one.attrs[key]) for one in datasets for key in ("title", "source") if key in one.attrs]
    attributes = {"source": "; ".join(dict.fromkeys(said)) or "files as they are"}
    return xr.Dataset(parts, attrs={**attributes, "input": ", ".join(map(str, files))})


def _predicted(wind: WindModel) -> list[xr.Dataset]:
    """What each model predicts."""
    inputs = [_thinned(dataset, wind.every_hours) for dataset in open_inputs(wind.inputs)]
    found = []
    for model in wind.models:
        bundle = _bundle(model, wind.eastward)
        if wind.use == "downscale":
            found.append(finetuned(bundle).downscale(inputs, members=wind.members))
        elif wind.hours is not None:
            found.append(pretrained(bundle).forecast(inputs, wind.hours, members=wind.members))
        else:
            found.append(getattr(pretrained(bundle), wind.use)(inputs, members=wind.members))
    return found


def _bundle(model: Path, field: str) -> str:
    """Folder of a model that is named by itself, or by the experiment that trains it."""
    return str(Paths(load(model)).scored(field) if model.suffix in (".yaml", ".yml") else model)


def _thinned(dataset: xr.Dataset, every: int | None) -> xr.Dataset:
    """The states at every so many hours from 00 UTC on."""
    time = next((name for name in ("valid_time", "time") if name in dataset.dims), None)
    if every is None or time is None:
        return dataset
    return dataset.isel({time: np.flatnonzero(dataset[time].dt.hour % every == 0)})


def _component(datasets: Sequence[xr.Dataset], name: str, study: SiteStudy) -> xr.DataArray:
    """One component (number, time, site) out of all datasets that have it."""
    found, lacking = [], []
    for dataset in datasets:
        try:
            found.append(_out_of(_by_time(dataset), name, study))
        except SourceError as error:
            lacking.append(str(error))
    if not found:
        raise SourceError(f"wind: none of the files has {name}: " + "; ".join(lacking))
    whole = xr.concat(found, "time", join="exact").sortby("time")
    times = whole["time"].to_numpy()
    if (np.diff(times) == np.timedelta64(0)).any():
        raise DataError(f"{name}: a time is in several of the files; give each once")
    lost = np.argwhere(np.isnan(whole.to_numpy()))
    if lost.size:
        _, time, site = lost[0]
        raise DataError(
            f"{name}, {list(study.sites)[site]}, {times[time].astype('datetime64[h]')}:00: is missing (NaN); "
            "'atmorep fill' the files first, or leave the time out"
        )
    return whole


def _by_time(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with valid times, where it is one forecast, in the place of its lead times."""
    if "lead_time" not in dataset.dims:
        return dataset
    if dataset.sizes.get("init_time", 1) > 1:
        raise DataError(f"{named(dataset)}: holds several forecasts; select one initial time")
    single = dataset.squeeze("init_time") if "init_time" in dataset.dims else dataset
    valid = (single["init_time"] + single["lead_time"]).to_numpy()
    encoding = dataset.encoding
    single = single.assign_coords(lead_time=valid).drop_vars("init_time").rename(lead_time="time")
    single.encoding = encoding
    return single


def _out_of(dataset: xr.Dataset, name: str, study: SiteStudy) -> xr.DataArray:
    """One component (number, time, site) out of one dataset, in m s-1."""
    members = (
        [dataset.isel(number=n) for n in range(dataset.sizes["number"])] if _several(dataset) else [dataset]
    )
    sources = [GriddedField(one, known_field(name), study.wind.level_type, named(dataset)) for one in members]
    variables = [source.at_level(study.wind.level, named_by_path=False) for source in sources]
    factor, _ = conversion(sources[0].units, "m s**-1", sources[0].where)
    latitude, longitude = (variables[0][dim].to_numpy().astype(np.float64) for dim in variables[0].dims[1:])
    matrix = _matrix(latitude, longitude, study.sites, sources[0].where)
    values = np.stack([_interpolated(variable, matrix) for variable in variables]) * factor
    return xr.DataArray(
        values,
        {"time": sources[0].times.astype("datetime64[ns]"), "site": list(study.sites)},
        ("number", "time", "site"),
    )


def _several(dataset: xr.Dataset) -> bool:
    return "number" in dataset.dims


def _matrix(
    latitude: NDArray[np.float64], longitude: NDArray[np.float64], sites: dict[str, Site], where: str
) -> csr_array:
    """The matrix (site, point) that interpolates between the four points around each site."""
    points = np.meshgrid(longitude, latitude)
    rows = []
    for name, site in sites.items():
        row = bilinear(points[0], points[1], Grid(site.latitude, site.longitude, 1.0, (1, 1)))
        if not row.nnz:
            raise DataError(
                f"{where}: site {name}, {site.latitude:g} N {site.longitude:g} E, lies outside of its "
                f"{latitude.min():g} to {latitude.max():g} N, {longitude.min():g} to {longitude.max():g} E; "
                "correct the site, or give a larger domain"
            )
        rows.append(row)
    return vstack(rows, format="csr")


def _interpolated(variable: xr.DataArray, matrix: csr_array) -> NDArray[np.float64]:
    """Values (time, site); only the points that are needed are read, and at once."""
    down, across = variable.dims[1:]
    needed = np.unique(matrix.indices)
    rows, columns = np.divmod(needed, variable.sizes[across])
    picked = variable.isel(
        {down: xr.DataArray(rows, dims="point"), across: xr.DataArray(columns, dims="point")}
    )
    found: NDArray[np.float64] = picked.to_numpy().astype(np.float64) @ matrix[:, needed].toarray().T
    return found
