"""A trained model in a user's hands: forecasts, gaps filled, states corrected, from any ERA5-like dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import xarray as xr

from atmorep import bundle
from atmorep.bundle import Bundle
from atmorep.inference import ahead, look, restore
from atmorep.inference.elsewhere import Elsewhere
from atmorep.inference.request import Datasets, Request


@dataclass(frozen=True)
class Pretrained(Bundle):
    """A trained model of one field or several, and what it is used for.

    Datasets hold the model's fields by ERA5's short names, its names in NetCDF or CF standard names, with
    dimensions time, level (where the field has any), latitude and longitude, on a regular grid of the model's
    resolution that is at least as large as a neighbourhood. What is not as the model needs it is converted
    where that leaves no doubt, and said; else it is refused by an :class:`~atmorep.errors.AtmoRepError` that
    names the remedy.

    Returned are datasets of all predicted fields in the units of ERA5, with a dimension ``number`` of the
    members. Domains larger than a neighbourhood are covered by overlapping ones. Memory: input and result are
    held whole.

    Attributes:
        folder: the bundle.
    """

    folder: Path

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load the bundle ``folder``.

        Raises:
            IntegrityError: as :func:`atmorep.bundle.load` does.
        """
        return cls(**vars(bundle.load(folder)), folder=Path(folder))

    def forecast(
        self, datasets: Datasets, hours: int, *, members: int | None = None, start: str | None = None
    ) -> xr.Dataset:
        """Forecast ``hours`` from the last time of the input, or from ``start``.

        What is further ahead than was hidden in training is rolled out, member by member, the neighbourhoods
        of the domain being blended after each step.

        Args:
            datasets: hold the states of a neighbourhood that come before the forecast.
            hours: a multiple of the model's time step.
            members: of the ensemble; default all.
            start: initial time, ISO 8601, UTC.

        Returns:
            Dimensions init_time, lead_time, number, level, latitude, longitude.

        Raises:
            ConfigError: if an argument makes no sense.
            DataError: if the input is not as the model needs it.
            SourceError: if it lacks a field or a level.
        """
        request = self._request(datasets, members)
        plan = ahead.Plan.of(request, hours, start)
        return ahead.forecast(request, plan, request.readers, "Forecast")

    def counterfactual(
        self,
        datasets: Datasets,
        hours: int,
        elsewhere: Elsewhere,
        *,
        members: int | None = None,
        start: str | None = None,
    ) -> xr.Dataset:
        """Forecast as if the same states were those of another year, day, hour or place.

        The model is told another time or place of every token; the states, and the climate by which they are
        normalised, stay as they are. The difference to :meth:`forecast` is the effect.

        Args:
            datasets: as of :meth:`forecast`.
            hours: as of :meth:`forecast`.
            elsewhere: where and when the states are said to be.
            members: as of :meth:`forecast`.
            start: as of :meth:`forecast`.

        Returns:
            Dimensions as of :meth:`forecast`; times and places are those of the input.

        Raises:
            AtmoRepError: as of :meth:`forecast`, and if there is no such time or place.
        """
        request = self._request(datasets, members)
        plan = ahead.Plan.of(request, hours, start)
        initial = request.given.axis.at(np.int64(plan.initial))
        readers = elsewhere.readers(self.config, request.readers, initial)
        return ahead.forecast(request, plan, readers, f"Counterfactual forecast: {elsewhere}")

    def interpolate(self, datasets: Datasets, *, members: int | None = None) -> xr.Dataset:
        """Fill the times that are missing between given ones, in the model's time steps.

        Returns:
            Dimensions time, number, level, latitude, longitude, from the first time to the last; members are
            equal at the times that were given.

        Raises:
            DataError: if no time is missing, or a gap is too long for a neighbourhood; see :meth:`forecast`.
        """
        return restore.interpolate(self._request(datasets, members))

    def fill(self, datasets: Datasets, *, members: int | None = None) -> xr.Dataset:
        """Fill the values that are missing (NaN), and missing times.

        The model is shown no token of which a value is missing.

        Returns:
            Dimensions time, number, level, latitude, longitude; members are equal where values were given.

        Raises:
            DataError: if nothing is missing, or nothing is known in all of a neighbourhood; see
                :meth:`forecast`.
        """
        return restore.fill(self._request(datasets, members))

    def correct(self, datasets: Datasets, *, members: int | None = None) -> xr.Dataset:
        """Predict all states anew, taking those given as distorted: of another analysis, noisy or coarse.

        Nothing is hidden: each token is predicted from itself and what is around it, as tokens are that
        training has noised or coarsened.

        Returns:
            Dimensions time, number, level, latitude, longitude.

        Raises:
            DataError: see :meth:`forecast`.
        """
        return restore.correct(self._request(datasets, members))

    def attention(
        self, datasets: Datasets, field: str, time: str, latitude: float, longitude: float
    ) -> xr.DataTree:
        """Show what the tokens of ``field`` at a time and place attend to, all levels, blocks and heads.

        Args:
            datasets: hold the neighbourhood around, which is seen whole.
            field: ERA5 short name.
            time: ISO 8601, UTC.
            latitude: degrees north.
            longitude: degrees east.

        Returns:
            Groups as of :func:`atmorep.inference.inside.attention`.

        Raises:
            ConfigError: if an argument is refused.
            DataError: if the input lacks a state there.
        """
        request = self._request(datasets, None)
        return look.attention(request, field, look.Place(time, latitude, longitude))

    def embed(
        self, datasets: Datasets, field: str, time: str, latitude: float, longitude: float
    ) -> xr.DataTree:
        """Show the tokens of ``field`` around a time and place, as embedded and after each block.

        Arguments and errors are those of :meth:`attention`.
        """
        request = self._request(datasets, None)
        return look.embeddings(request, field, look.Place(time, latitude, longitude))

    def _request(self, datasets: Datasets, members: int | None) -> Request:
        return Request.of(self, self.folder, datasets, members)
