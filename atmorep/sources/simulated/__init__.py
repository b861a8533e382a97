"""A simulated atmosphere: primitive equations with simple physics, written as ERA5 delivers GRIB."""

from atmorep.sources.simulated.source import Simulated

__all__ = ["Simulated"]
