"""Units of what files hold: one spelling, and conversions that leave no doubt."""

from __future__ import annotations

import re

from atmorep.errors import DataError

_CONVERSIONS: dict[tuple[str, str], tuple[float, float]] = {
    ("hPa", "Pa"): (100.0, 0.0),
    ("millibars", "Pa"): (100.0, 0.0),
    ("mbar", "Pa"): (100.0, 0.0),
    ("degC", "K"): (1.0, 273.15),
    ("celsius", "K"): (1.0, 273.15),
    ("Celsius", "K"): (1.0, 273.15),
    ("C", "K"): (1.0, 273.15),
    ("kelvin", "K"): (1.0, 0.0),
    ("mm", "m"): (1e-3, 0.0),
    ("cm", "m"): (1e-2, 0.0),
    ("m of water equivalent", "m"): (1.0, 0.0),
    ("g kg-1", "kg kg-1"): (1e-3, 0.0),
    ("1", "kg kg-1"): (1.0, 0.0),
    ("J kg-1", "m2 s-2"): (1.0, 0.0),
    ("hPa s-1", "Pa s-1"): (100.0, 0.0),
    ("mm", "kg m-2"): (1.0, 0.0),
    ("kg m-2", "mm"): (1.0, 0.0),
    ("kg m-2", "m"): (1e-3, 0.0),
}
"""Factor and offset from one unit to another, where the name leaves no doubt; a mass per area is of water."""

_DIMENSIONLESS = frozenset({"(0 - 1)", "~", "Numeric", "dimensionless"})
"""What ecCodes and old files write for the unit 1."""


def canonical_units(text: str) -> str:
    """Return ``text`` with exponents written plainly: ``m**2 s**-2``, ``m^2/s^2`` become ``m2 s-2``."""
    text = re.sub(r"\*\*|\^", "", text.strip())
    if text in _DIMENSIONLESS:
        return "1"
    first, *divisors = (part.strip() for part in text.split("/"))
    inverse = [re.sub(r"^([A-Za-z]+)(\d*)$", lambda m: f"{m[1]}-{m[2] or 1}", d) for d in divisors]
    return " ".join([first, *inverse])


def conversion(units: str | None, wanted: str, where: str) -> tuple[float, float]:
    """Return factor and offset from ``units`` to ``wanted``.

    Raises:
        DataError: naming ``where``, if there is no unit or no conversion without doubt.
    """
    have, want = canonical_units(units or ""), canonical_units(wanted)
    if have == want:
        return 1.0, 0.0
    try:
        return _CONVERSIONS[have, want]
    except KeyError:
        raise DataError(
            f"{where}: its unit '{units or ''}' is not {wanted} and cannot be converted without doubt; "
            "correct the attribute 'units' or the data"
        ) from None
