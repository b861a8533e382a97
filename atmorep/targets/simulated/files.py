"""The files of simulated targets: GRIB as of COSMO, and NetCDF with a grid mapping."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from atmorep.artefacts import written_aside
from atmorep.sources.grib_writer import MessageWriter, dated, new_message
from atmorep.targets.simulated.geography import RADOLAN_RADIUS, SOUTHERN_POLE, MapGrid

if TYPE_CHECKING:
    import netCDF4

Array = NDArray[np.float64]

TEMPERATURE = {"indicatorOfParameter": 11, "indicatorOfTypeOfLevel": 105, "level": 2}
"""GRIB keys of T_2M in DWD's COSMO products."""
HEIGHT = {"indicatorOfParameter": 8, "indicatorOfTypeOfLevel": 1, "level": 0}
"""GRIB keys of HSURF."""
_DWD = {"centre": 78, "table2Version": 2, "generatingProcessIdentifier": 255}
"""Centre and table of COSMO's products; a process that DWD does not have, since nothing here is its."""
RAIN_STEP = 0.1
"""Packing step in mm, RADOLAN's."""
_FILL = -1


class RotatedWriter(MessageWriter):
    """Writes GRIB 1 on a grid with a rotated pole, one field; use it as a context manager."""

    def __init__(self, path: Path, grid: MapGrid, parameter: dict[str, int]) -> None:
        """Prepare writing ``parameter``, :data:`TEMPERATURE` or :data:`HEIGHT`."""
        super().__init__(path)
        self._grid, self._parameter = grid, parameter

    def write(self, time: np.datetime64, values: Array) -> None:
        """Append the field (rows, columns) valid at ``time``.

        Raises:
            DataError: if a value is not finite.
        """
        self._append((), self._message, dated(time), values, f"{self.path} ({time})")

    def _message(self) -> int:
        x, y = self._grid.x, self._grid.y
        geometry: dict[str, int | float | str] = {
            "Ni": x.size,
            "Nj": y.size,
            "latitudeOfFirstGridPointInDegrees": round(float(y[0]), 3),
            "longitudeOfFirstGridPointInDegrees": round(float(x[0]), 3),
            "latitudeOfLastGridPointInDegrees": round(float(y[-1]), 3),
            "longitudeOfLastGridPointInDegrees": round(float(x[-1]), 3),
            "iDirectionIncrementInDegrees": round(float(x[1] - x[0]), 3),
            "jDirectionIncrementInDegrees": round(float(y[1] - y[0]), 3),
            "latitudeOfSouthernPoleInDegrees": SOUTHERN_POLE[0],
            "longitudeOfSouthernPoleInDegrees": SOUTHERN_POLE[1],
            "jScansPositively": 1,
        }
        return new_message("rotated_ll_sfc_grib1", _DWD | self._parameter | geometry)


def write_rain(path: Path, grid: MapGrid, hours: Iterable[tuple[np.datetime64, Array]]) -> None:
    """Write hourly sums in mm, NaN where missing, with the bounds of the hours, as CF NetCDF."""
    import netCDF4

    with written_aside(path) as aside, netCDF4.Dataset(aside, "w") as file:
        file.setncatts(
            {
                "Conventions": "CF-1.10",
                "title": "Simulated rain on a radar's grid",
                "source": "made by AtmoRep from a simulated atmosphere; nothing in it was observed",
            }
        )
        _axes(file, grid)
        rain = _rain_variable(file, grid)
        for index, (time, values) in enumerate(hours):
            end = int(time.astype("datetime64[h]").astype(np.int64))
            file["time"][index], file["time_bounds"][index] = end, (end - 1, end)
            rain[index] = np.where(np.isnan(values), _FILL, np.round(np.nan_to_num(values) / RAIN_STEP))


def _axes(file: netCDF4.Dataset, grid: MapGrid) -> None:
    file.createDimension("time", None)
    file.createDimension("bounds", 2)
    time = file.createVariable("time", "i4", "time")
    unit = "hours since 1970-01-01 00:00:00"
    time.setncatts({"standard_name": "time", "units": unit, "bounds": "time_bounds", "calendar": "standard"})
    file.createVariable("time_bounds", "i4", ("time", "bounds"))
    for name, values in (("y", grid.y), ("x", grid.x)):
        file.createDimension(name, values.size)
        axis = file.createVariable(name, "f8", name)
        axis.setncatts({"standard_name": f"projection_{name}_coordinate", "units": "m"})
        axis[:] = values
    file.createVariable("polar_stereographic", "i4").setncatts(
        {
            "grid_mapping_name": "polar_stereographic",
            "latitude_of_projection_origin": 90.0,
            "standard_parallel": 60.0,
            "straight_vertical_longitude_from_pole": 10.0,
            "false_easting": 0.0,
            "false_northing": 0.0,
            "earth_radius": RADOLAN_RADIUS,
        }
    )


def _rain_variable(file: netCDF4.Dataset, grid: MapGrid) -> netCDF4.Variable[Any]:
    chunks = (24, *grid.shape)
    rain = file.createVariable(
        "rain", "i2", ("time", "y", "x"), compression="zlib", complevel=1, chunksizes=chunks, fill_value=_FILL
    )
    rain.setncatts(
        {
            "long_name": "simulated rain of the hour",
            "standard_name": "lwe_thickness_of_precipitation_amount",
            "units": "mm",
            "cell_methods": "time: sum",
            "grid_mapping": "polar_stereographic",
            "scale_factor": RAIN_STEP,
        }
    )
    rain.set_auto_maskandscale(False)
    return rain
