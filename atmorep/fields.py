"""The physical fields AtmoRep knows: ECMWF identifiers, CF names and units, in one table.

Names are ERA5 short names. Sources of https://codes.ecmwf.int/grib/param-db and the CF standard
name table. To add a field, add a row here; nothing else in the package lists fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from atmorep.errors import ConfigError

Transform = Literal["none", "log"]


@dataclass(frozen=True)
class Field:
    """One physical field.

    Attributes:
        name: ERA5 short name, the key everywhere in AtmoRep.
        param_id: ECMWF parameter number (GRIB key ``paramId``).
        long_name: ECMWF long name with underscores (the name WeatherBench uses).
        standard_name: CF standard name.
        units: CF units of the stored values.
        surface: True for single-level fields.
        accumulated: True if a value is the sum over the hour that ends at its valid time.
        aliases: names the field has had in GRIB-to-NetCDF conversions, other than ``name``.
        alias_param_ids: further parameter numbers under which the same quantity is delivered.
        transform: default transform before normalisation.
        floor: smallest physically possible value, if there is one.
    """

    name: str
    param_id: int
    long_name: str
    standard_name: str
    units: str
    surface: bool = False
    accumulated: bool = False
    aliases: tuple[str, ...] = ()
    alias_param_ids: tuple[int, ...] = ()
    transform: Transform = "none"
    floor: float | None = None

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every name under which a file may hold this field, the canonical one first."""
        return (self.name, *self.aliases, self.long_name)


FIELDS: dict[str, Field] = {
    f.name: f
    for f in (
        Field("vo", 138, "vorticity", "atmosphere_relative_vorticity", "s**-1", aliases=("svo",)),
        Field("d", 155, "divergence", "divergence_of_wind", "s**-1", aliases=("sd",)),
        Field("u", 131, "u_component_of_wind", "eastward_wind", "m s**-1"),
        Field("v", 132, "v_component_of_wind", "northward_wind", "m s**-1"),
        Field(
            "w",
            135,
            "vertical_velocity",
            "lagrangian_tendency_of_air_pressure",
            "Pa s**-1",
        ),
        Field("t", 130, "temperature", "air_temperature", "K", floor=0.0),
        Field("q", 133, "specific_humidity", "specific_humidity", "kg kg**-1"),
        Field("z", 129, "geopotential", "geopotential", "m**2 s**-2"),
        Field(
            "tp",
            228,
            "total_precipitation",
            "lwe_thickness_of_precipitation_amount",
            "m",
            surface=True,
            accumulated=True,
            transform="log",
            floor=0.0,
        ),
        Field(
            "msl",
            151,
            "mean_sea_level_pressure",
            "air_pressure_at_mean_sea_level",
            "Pa",
            surface=True,
            floor=0.0,
        ),
        Field(
            "2t",
            167,
            "2m_temperature",
            "air_temperature",
            "K",
            surface=True,
            aliases=("t2m",),
            floor=0.0,
        ),
        Field(
            "2d",
            168,
            "2m_dewpoint_temperature",
            "dew_point_temperature",
            "K",
            surface=True,
            aliases=("d2m",),
            floor=0.0,
        ),
        Field(
            "10u",
            165,
            "10m_u_component_of_wind",
            "eastward_wind",
            "m s**-1",
            surface=True,
            aliases=("u10",),
        ),
        Field(
            "10v",
            166,
            "10m_v_component_of_wind",
            "northward_wind",
            "m s**-1",
            surface=True,
            aliases=("v10",),
        ),
        Field(
            "sp",
            134,
            "surface_pressure",
            "surface_air_pressure",
            "Pa",
            surface=True,
            floor=0.0,
        ),
        Field(
            "tcwv",
            137,
            "total_column_water_vapour",
            "lwe_thickness_of_atmosphere_mass_content_of_water_vapor",
            "kg m**-2",
            surface=True,
        ),
    )
}


def field(name: str) -> Field:
    """Return the field called ``name`` (an ERA5 short name).

    Raises:
        ConfigError: if no such field is known.
    """
    try:
        return FIELDS[name]
    except KeyError:
        known = ", ".join(sorted(FIELDS))
        raise ConfigError(
            f"fields: '{name}' is not a field AtmoRep knows; use one of {known}, "
            "or add a row to atmorep/fields.py"
        ) from None
