"""Cells of grids: rotated poles and others against formulas, edges against centres."""

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atmorep.targets.geometry import Geometry, unit_vectors


def rotated(latitude: float, longitude: float) -> pyproj.CRS:
    """A pole at a place."""
    return pyproj.CRS.from_cf(
        {
            "grid_mapping_name": "rotated_latitude_longitude",
            "grid_north_pole_latitude": latitude,
            "grid_north_pole_longitude": longitude,
        }
    )


def east_and_north(geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (y, x, 3) to the east and to the north."""
    east = unit_vectors(geometry.longitude + 90, np.zeros_like(geometry.latitude))
    return east, np.cross(unit_vectors(geometry.longitude, geometry.latitude), east)


@settings(max_examples=25, deadline=None)
@given(st.floats(-80, 80), st.floats(-180, 179))
def test_a_zonal_wind_turns_to_the_axes_of_a_rotated_pole_and_back(latitude: float, longitude: float) -> None:
    """Rotation about the grid's pole blows along its x axis, so the angle gives it geographically."""
    pole = unit_vectors(np.array(longitude), np.array(latitude))
    geometry = Geometry.projected(
        rotated(latitude, longitude), np.arange(-30, 31, 7.0), np.arange(-40, 41, 9.0)
    )
    wind = np.cross(pole, unit_vectors(geometry.longitude, geometry.latitude))
    speed = np.linalg.norm(wind, axis=-1)
    east, north = east_and_north(geometry)
    np.testing.assert_allclose(speed * np.cos(geometry.angle), (wind * east).sum(-1), atol=1e-6)
    np.testing.assert_allclose(speed * np.sin(geometry.angle), (wind * north).sum(-1), atol=1e-6)


@pytest.mark.parametrize(
    "mapping",
    [
        {"grid_mapping_name": "polar_stereographic", "latitude_of_projection_origin": 90.0,
         "straight_vertical_longitude_from_pole": 10.0, "standard_parallel": 60.0},
        {"grid_mapping_name": "lambert_conformal_conic", "standard_parallel": [40.0, 60.0],
         "longitude_of_central_meridian": 10.0, "latitude_of_projection_origin": 50.0},
    ],
)  # fmt: skip
def test_angle_is_the_convergence_of_meridians(mapping: dict[str, object]) -> None:
    """On a conformal plane, known to PROJ; on its ellipsoid."""
    crs = pyproj.CRS.from_cf(mapping)
    x0, y0 = pyproj.Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True).transform(16.0, 48.0)
    geometry = Geometry.projected(crs, x0 + 2e4 * np.arange(7), y0 - 2e4 * np.arange(5))
    known = pyproj.Proj(crs).get_factors(geometry.longitude, geometry.latitude).meridian_convergence
    np.testing.assert_allclose(np.degrees(geometry.angle), -np.array(known), atol=1e-5)


def test_centres_alone_give_nearly_the_corners_and_angles_of_the_projection() -> None:
    exact = Geometry.projected(rotated(39.25, -162.0), np.arange(-5, 5, 0.11), np.arange(-4, 4, 0.11))
    found = Geometry.curvilinear(exact.longitude, exact.latitude)
    np.testing.assert_allclose(found.corner_latitude, exact.corner_latitude, atol=2e-5)
    np.testing.assert_allclose(found.corner_longitude, exact.corner_longitude, atol=2e-5)
    np.testing.assert_allclose(found.angle, exact.angle, atol=1e-4)


def test_the_date_line_does_not_matter() -> None:
    plain = pyproj.CRS.from_cf({"grid_mapping_name": "latitude_longitude"})
    exact = Geometry.projected(plain, np.arange(178.0, 183.0), np.arange(5.0, -3.0, -1))
    found = Geometry.curvilinear((exact.longitude + 180) % 360 - 180, exact.latitude)
    np.testing.assert_allclose(found.corner_longitude % 360, exact.corner_longitude, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.angle, 0, atol=1e-3)  # great circles against parallels
    assert (exact.corner_latitude[0, 0], exact.corner_longitude[0, 0]) == (5.5, 177.5)


def test_identity_is_of_the_cells() -> None:
    plain = pyproj.CRS.from_cf({"grid_mapping_name": "latitude_longitude"})
    x, y = np.arange(5.0), np.arange(4.0)
    one, turn, other = (Geometry.projected(plain, x + shift, y) for shift in (0, 360, 0.01))
    assert one.identity == turn.identity != other.identity


def test_rows_at_the_poles_end_there() -> None:
    plain = pyproj.CRS.from_cf({"grid_mapping_name": "latitude_longitude"})
    geometry = Geometry.projected(plain, np.arange(0.0, 360, 10), np.linspace(90, -90, 19))
    assert (geometry.corner_latitude[0, 0], geometry.corner_latitude[-1, 0]) == (90, -90)
