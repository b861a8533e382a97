"""How Deutscher Wetterdienst lays out its open data: which archive holds a month, which file a day.

The names are those of the server as public projects have them (looked up in November 2026):

- COSMO-REA6: ``T_2M/T_2M.2D.199501.grb.bz2``, a parameter and month each, January 1995 to August 2019, whose
  times begin at 01 UTC of the first day, so that 00 UTC is in the file of the month before; all constant
  fields are in ``COSMO_REA6_CONST_withOUTsponge.nc.bz2`` (PyPSA/atlite, atlite/datasets/cosmo_rea6.py).
- RADKLIM 2017.002, from January 2001 on (brry/rdwd, data/gridIndex.rda, an index of the server): binaries as
  ``RW2017.002_YYYYMM.tar.gz`` of hours and ``YW2017.002_YYYYMM.tar`` of a ``.tar.gz`` a day of 5 minutes,
  each file ``raa01-rw2017.002_10000-YYMMDDhhmm-dwd---bin``; NetCDF as ``RW2017.002_YYYY_netcdf.tar.gz`` of a
  file a month and ``YW2017.002_YYYY_netcdf.tar.gz`` of a file a day; that of 2021 is wrong there, its
  correction in ``supplement`` (mlcast-community/mlcast-dataset-radklim, after the server's readme.txt).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from atmorep.config.target import DwdTarget

_COSMO = "climate_environment/REA/COSMO_REA6"
_GRIDS = "climate_environment/CDC/grids_germany"
_FREQUENCIES = {"radklim_rw": "hourly", "radklim_yw": "5_minutes"}
_CORRECTED_YEAR = 2021


@dataclass(frozen=True)
class Place:
    """Where an archive lies on the server.

    Attributes:
        folder: path below the server's address.
        name: name of the archive.
    """

    folder: str
    name: str


CONSTANT = Place(f"{_COSMO}/constant", "COSMO_REA6_CONST_withOUTsponge.nc.bz2")
"""The constant fields of COSMO-REA6."""

PARAMETERS = f"{_COSMO}/hourly/2D"
"""Folder of the folders of the parameters of COSMO-REA6."""


@dataclass(frozen=True)
class Layout:
    """The archives of one product, and the files in them.

    Attributes:
        usual: where the archive of a ``month`` (a date) lies, as patterns.
        stamp: regular expression that finds the date in the name of an unpacked file.
        form: form of that date, as strftime has it: of a day, or of a month.
        first: first month there is.
        last: last month there is, where none is added any more.
        corrected: where the archives of single years lie instead.
    """

    usual: Place
    stamp: str
    form: str
    first: dt.date
    last: dt.date | None = None
    corrected: Mapping[int, Place] = field(default_factory=dict)

    def place(self, month: dt.date) -> Place:
        """Return where the archive that holds ``month`` lies."""
        usual = self.usual
        return self.corrected.get(
            month.year, Place(usual.folder.format(month=month), usual.name.format(month=month))
        )

    def holds(self, name: str, first: dt.date, last: dt.date) -> bool:
        """Tell whether an unpacked file of this name is of days (or the month) of ``first`` to ``last``."""
        found = re.search(self.stamp, name)
        if found is None:
            return False
        day = dt.datetime.strptime(found[1], self.form).date()
        return (first if "%d" in self.form else first.replace(day=1)) <= day <= last


def layout(source: DwdTarget) -> Layout:
    """Return the layout of what ``source`` names."""
    if source.product == "cosmo_rea6":
        place = Place(f"{PARAMETERS}/{source.parameter}", f"{source.parameter}.2D.{{month:%Y%m}}.grb.bz2")
        return Layout(place, r"\.2D\.(\d{6})\.grb$", "%Y%m", dt.date(1995, 1, 1), dt.date(2019, 8, 1))
    code = source.product.removeprefix("radklim_")
    folder = f"{_GRIDS}/{_FREQUENCIES[source.product]}/radolan/reproc/2017_002"
    return (_binary if source.form == "binary" else _netcdf)(code, folder, dt.date(2001, 1, 1))


def _binary(code: str, folder: str, first: dt.date) -> Layout:
    suffix = "tar.gz" if code == "rw" else "tar"
    place = Place(f"{folder}/bin/{{month:%Y}}", f"{code.upper()}2017.002_{{month:%Y%m}}.{suffix}")
    return Layout(place, rf"^raa01-{code}2017\.002_10000-(\d{{6}})\d{{4}}-dwd---bin$", "%y%m%d", first)


def _netcdf(code: str, folder: str, first: dt.date) -> Layout:
    name = f"{code.upper()}2017.002"
    place = Place(f"{folder}/netCDF/{{month:%Y}}", f"{name}_{{month:%Y}}_netcdf.tar.gz")
    correction = Place(f"{folder}/netCDF/supplement", f"{name}_{_CORRECTED_YEAR}_netcdf_supplement.tar.gz")
    digits, form = (6, "%Y%m") if code == "rw" else (8, "%Y%m%d")
    stamp = rf"^{code.upper()}_2017\.002_(\d{{{digits}}})\.nc$"
    return Layout(place, stamp, form, first, corrected={_CORRECTED_YEAR: correction})
