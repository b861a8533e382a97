"""A model in a user's hands: what it returns is what the model computes, whatever form the input has."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from own_data import CLIMATE, FIELDS, GLOBE, GUESSED, NEIGHBOURHOOD, climate, hours, own, saved, truth

import atmorep
from atmorep.errors import AtmoRepError, ConfigError, DataError, SourceError
from atmorep.grids import Grid
from atmorep.inference.elsewhere import Elsewhere
from atmorep.inference.opened import open_inputs
from atmorep.inference.predictor import Predictor
from atmorep.inference.rollout import Rollout
from atmorep.sampling.windows import Window


@pytest.fixture
def config(configure):
    return configure(**GUESSED)


@pytest.fixture
def model(config):
    return atmorep.load(saved(config))


def values(dataset, name):
    """(member, step, [level], row, column) of a forecast, or of states."""
    array = dataset[name].isel(init_time=0, drop=True) if "init_time" in dataset.dims else dataset[name]
    return array.transpose("number", ...).to_numpy()


class TestForecast:
    """At the end of the input; neighbourhoods, members and roll-out."""

    def test_of_one_neighbourhood_is_the_plain_roll_out_from_the_store(self, model, config):
        """Feb 17, 00 UTC + 6 steps of which the last two are predicted, thrice; the same from the store."""
        times = hours("2001-02-17T00", 4)
        found = model.forecast(own(times, NEIGHBOURHOOD), hours=36)
        rollout = Rollout.load(config, model.folder, 12)
        start = int(rollout.neighbourhoods["t"].reader.axis.index(times[0]))
        states = list(rollout.forecasts([Window(start, 4, 2)], 3))
        for name in FIELDS:
            expected = np.concatenate([part[name][0] for part in states], axis=1)
            expected = expected[:, :, 0] if name == "2t" else expected
            np.testing.assert_allclose(values(found, name), expected, rtol=2e-5)

    def test_dimensions_and_attributes_are_cf(self, model):
        found = model.forecast(own(), hours=18)
        assert found.t.dims == ("init_time", "lead_time", "number", "level", "latitude", "longitude")
        assert found["2t"].dims == ("init_time", "lead_time", "number", "latitude", "longitude")
        assert found.init_time.to_numpy() == np.datetime64("2001-02-18T06")
        assert (found.lead_time / np.timedelta64(1, "h")).to_numpy().tolist() == [6, 12, 18]
        assert found.t.attrs["units"] == "K"
        assert found.t.attrs["standard_name"] == "air_temperature"
        assert found.latitude.attrs["units"] == "degrees_north"
        assert found.level.attrs["long_name"].startswith("ECMWF hybrid level")
        assert found.attrs["Conventions"] == "CF-1.11"
        assert len(found.attrs["bundle_sha256"]) == 64
        assert found.attrs["source"].startswith(f"AtmoRep {atmorep.__version__}, bundle mine")
        assert np.isfinite(values(found, "t")).all()
        assert 200 < float(found.t.mean()) < 330

    def test_fewer_members_are_the_first_ones_of_all(self, model):
        whole, some = (model.forecast(own(), hours=24, members=n) for n in (None, 2))
        assert (whole.sizes["number"], some.sizes["number"]) == (3, 2)
        for name in FIELDS:
            np.testing.assert_allclose(values(whole, name)[:2], values(some, name), rtol=2e-5)

    def test_an_earlier_initial_time_does_not_see_what_came_after(self, model):
        times = hours(steps=9)
        early = model.forecast(own(times), hours=12, start="2001-02-18T06")
        cut = model.forecast(own(times[:6]), hours=12)
        for name in FIELDS:
            np.testing.assert_array_equal(values(early, name), values(cut, name))

    def test_each_chunk_of_the_input_is_read_at_most_twice(self, model):
        reads = {}

        def counted(block, name, block_info):
            place = (name, tuple(block_info[0]["chunk-location"]))
            reads[place] = reads.get(place, 0) + 1
            return block

        dataset = own()
        for name in ("t", "t2m"):
            chunks = (1, *dataset[name].shape[1:-2], 5, 12)
            lazy = da.from_array(dataset[name].to_numpy(), chunks=chunks)
            lazy = lazy.map_blocks(counted, name, dtype=np.float32, meta=np.array((), np.float32))
            dataset[name] = dataset[name].copy(data=lazy)
        reads.clear()
        model.forecast(dataset, hours=24)
        assert len(reads) == 2 * 4 * 4 * 3  # fields, steps before, rows and columns of chunks: all are read
        assert max(reads.values()) <= 2

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"hours": 7}, "hours = 7: must be a positive multiple of 6 h"),
            ({"hours": 0}, "hours = 0"),
            ({"hours": 6, "members": 4}, "members = 4: the model has 1 to 3"),
            ({"hours": 6, "start": "2001-02-17T03"}, "start = 2001-02-17T03: is none of the input's times"),
            ({"hours": 6, "start": "soon"}, "start = soon: is none"),
        ],
    )
    def test_arguments_that_make_no_sense_are_refused(self, model, options, message):
        with pytest.raises(ConfigError, match=message):
            model.forecast(own(), **options)

    def test_too_few_states_are_refused_with_those_that_are_needed(self, model):
        with pytest.raises(
            DataError, match="lacks 2001-02-16T18:00 UTC of a field; a forecast from 2001-02-17T1"
        ):
            model.forecast(own(hours(steps=3)), hours=12)

    def test_a_gap_is_refused_with_the_remedy(self, model):
        with pytest.raises(DataError, match=r"lacks 2001-02-17T18:00 UTC .* 'atmorep interpolate' them"):
            model.forecast(own().drop_isel(valid_time=3), hours=12)

    def test_missing_values_are_refused_with_the_remedy(self, model):
        dataset = own()
        dataset["t"][4, 1, 3, 7] = np.nan
        with pytest.raises(DataError, match=r"t, level 137, 2001-02-18T00:00: 1 values are missing .* fill"):
            model.forecast(dataset, hours=12)


class TestCounterfactual:
    """Only what is said of time and place is otherwise."""

    def test_the_same_time_and_place_are_the_forecast(self, model):
        same = Elsewhere(year=2001, day=49, hour=6, latitude=0.0, longitude=175.0)
        for name in FIELDS:
            np.testing.assert_array_equal(
                values(model.counterfactual(own(), 12, same), name), values(model.forecast(own(), 12), name)
            )

    @pytest.mark.parametrize("change", [{"year": 1979}, {"day": 200}, {"hour": 18}, {"longitude": 0.0}])
    def test_another_one_has_an_effect_on_what_is_predicted(self, model, change):
        found = model.counterfactual(own(), 12, Elsewhere(**change))
        there = model.forecast(own(), 12)
        assert found.init_time == there.init_time
        assert found.attrs["title"] == f"Counterfactual forecast: {Elsewhere(**change)}"
        assert 0 < np.abs(values(found, "t") - values(there, "t")).max() < 30

    def test_tokens_are_told_the_other_time_and_place(self, model):
        dataset, inputs = own(grid=NEIGHBOURHOOD), []
        handle = model.model.register_forward_pre_hook(lambda _, given: inputs.append(given[0]["t"]))
        model.forecast(dataset, 12)
        model.counterfactual(dataset, 12, Elsewhere(year=2011, longitude=150.0))
        handle.remove()
        shifted = (inputs[1].info - inputs[0].info).flatten(0, -2).mean(0)
        assert shifted[0] == pytest.approx(10 / 25)  # (year - 2000) / 25
        assert inputs[1].source.equal(inputs[0].source)
        assert not inputs[1].info[..., 6:8].allclose(inputs[0].info[..., 6:8])

    @pytest.mark.parametrize(
        ("elsewhere", "message"),
        [
            (Elsewhere(), "say what is otherwise"),
            (Elsewhere(latitude=10.0), "beyond a pole"),
            (Elsewhere(day=400), "is no time"),
        ],
    )
    def test_what_is_nowhere_is_refused(self, model, elsewhere, message):
        with pytest.raises(ConfigError, match=message):
            model.counterfactual(own(), 12, elsewhere)


class TestRestored:
    """Gaps in time and space, and states predicted anew."""

    def test_an_interpolated_gap_is_what_the_predictor_says_of_the_middle_token(self, model, config):
        times = hours("2001-02-17T00")
        found = model.interpolate(own(times, NEIGHBOURHOOD).drop_isel(valid_time=[2, 3]))
        for name in FIELDS:
            predictor = Predictor.load(config, name, model.folder)
            start = int(predictor.neighbourhoods[name].reader.axis.index(times[0]))
            hidden = {f: np.zeros((1, *r.tokens), bool) for f, r in predictor.neighbourhoods.items()}
            for mask in hidden.values():
                mask[:, :, 1] = True
            expected = predictor.predict([Window(start, 4, 2)], hidden)[0, :, 2:4]
            expected = expected[:, :, 0] if name == "2t" else expected
            np.testing.assert_allclose(values(found, name)[:, 2:4], expected, rtol=2e-5)
            kept = truth(name, times[[0, 1, 4, 5]], NEIGHBOURHOOD)
            np.testing.assert_allclose(values(found, name)[0][[0, 1, 4, 5]], kept, rtol=1e-6)

    def test_gaps_of_a_global_series_are_filled_near_the_truth(self, model):
        times = hours(steps=16)
        found = model.interpolate(own(times).drop_isel(valid_time=[5, 6, 11]), members=2)
        assert found.time.to_numpy().tolist() == times.astype("datetime64[ns]").tolist()
        error = values(found, "t")[:, [5, 6, 11]] - truth("t", times[[5, 6, 11]], GLOBE)
        persistence = truth("t", times[[4, 4, 10]], GLOBE) - truth("t", times[[5, 6, 11]], GLOBE)
        assert np.sqrt((error**2).mean()) < np.sqrt((persistence**2).mean())

    def test_a_gap_that_is_too_long_is_refused(self, model):
        with pytest.raises(
            DataError,
            match="t: the gap at 2001-02-17T12:00 cannot be bridged: within 36 h the model needs 12 h on end",
        ):
            model.interpolate(own(hours(steps=10)).drop_isel(valid_time=[2, 3, 4, 5]))

    def test_a_series_without_a_gap_is_refused(self, model):
        with pytest.raises(DataError, match="no time is missing"):
            model.interpolate(own())

    def test_missing_values_are_filled_and_others_kept(self, model):
        dataset, hole = own(), np.s_[1:3, 1, 5:9, 30:36]
        expected = dataset.t.to_numpy().copy()
        dataset["t"][hole] = np.nan
        found = model.fill(dataset)
        filled = values(found, "t")
        assert np.isfinite(filled).all()
        lost = np.zeros(expected.shape, bool)
        lost[hole] = True
        np.testing.assert_array_equal(filled[0][~lost], expected[~lost])
        error = (filled.mean(0) - expected)[lost]
        assert np.sqrt((error**2).mean()) < 6
        assert filled.std(0)[lost].min() > 0
        assert np.array_equal(values(found, "2t")[0], dataset.t2m)

    def test_a_neighbourhood_of_which_nothing_is_known_is_refused(self, model):
        dataset = own()
        dataset["t"][:, :, :8, :20] = np.nan
        dataset["t2m"][:, :8, :20] = np.nan
        with pytest.raises(DataError, match="no token is without a missing value"):
            model.fill(dataset)

    def test_complete_states_have_nothing_to_fill(self, model):
        with pytest.raises(DataError, match="no value of the input is missing"):
            model.fill(own())

    def test_corrected_states_are_predicted_from_all_that_is_given(self, model, config):
        times = hours()
        found = model.correct(own(times, NEIGHBOURHOOD))
        predictor = Predictor.load(config, "t", model.folder)
        start = int(predictor.neighbourhoods["t"].reader.axis.index(times[0]))
        shown = {f: np.zeros((1, *r.tokens), bool) for f, r in predictor.neighbourhoods.items()}
        expected = predictor.predict([Window(start, 4, 2)], shown)[0]
        np.testing.assert_allclose(values(found, "t"), expected, rtol=2e-5)
        assert found.attrs["comment"] == "the input was read as it is"

    def test_a_model_that_has_seen_no_noise_says_so(self, configure, caplog):
        model = atmorep.load(saved(configure(**GUESSED, masking={"masked": 1, "noised": 0, "coarsened": 0})))
        assert "corrects little" in model.correct(own()).attrs["comment"]
        assert "trained without distorted tokens" in caplog.text


class TestInput:
    """Converted without doubt, or refused."""

    def same(self, model, dataset):
        """Compare the forecast of ``dataset`` with that of the plain one; returns what was said of it."""
        found = model.forecast(dataset, hours=12, members=1)
        expected = model.forecast(own(), hours=12, members=1)
        for name in FIELDS:
            np.testing.assert_allclose(values(found, name), values(expected, name), rtol=1e-4)
        return found.attrs["comment"]

    def test_rows_from_the_south_are_turned_and_it_is_said(self, model, caplog):
        assert self.same(model, own().isel(latitude=slice(None, None, -1))).startswith("rows are ordered")
        assert "rows are ordered from north to south" in caplog.text

    def test_longitudes_that_begin_in_the_west_give_the_same_there(self, model):
        """From 160 W, so that the neighbourhoods, every 40 degrees, are the same ones."""
        dataset = own().assign_coords(longitude=(GLOBE.longitude + 160) % 360 - 160).sortby("longitude")
        found = model.forecast(dataset, hours=12)
        assert found.longitude.to_numpy()[[0, -1]].tolist() == [-160, 190]
        moved = found.t.assign_coords(longitude=found.longitude % 360).sortby("longitude")
        expected = model.forecast(own(), hours=12).t
        np.testing.assert_allclose(moved, expected, rtol=1e-5)
        np.testing.assert_array_equal(moved.longitude, expected.longitude)

    def test_degrees_celsius_become_kelvin(self, model):
        dataset = own()
        dataset["t2m"] = (dataset.t2m - 273.15).assign_attrs(units="degC")
        assert self.same(model, dataset) == "2t is converted from degC to K"

    def test_hours_between_those_of_the_model_are_left_out(self, model):
        times = np.arange(hours()[0], hours()[-1] + 1)
        said = self.same(model, own(times))
        assert said == "of 31 times the 6 at every 6 h from 00 UTC on are used"

    def test_fields_levels_and_times_may_be_shared_out(self, model):
        dataset = own()
        upper, lower = dataset[["t"]].isel(model_level=0), dataset[["t"]].isel(model_level=[1])
        surface = [dataset[["t2m"]].isel(valid_time=part) for part in (slice(4, 6), slice(0, 4))]
        self.same(model, [upper, lower, *surface])

    def test_standard_names_are_understood_with_and_without_levels(self, model):
        dataset = own().rename(t="ta", t2m="tas")
        for name in ("ta", "tas"):
            dataset[name].attrs["standard_name"] = "air_temperature"
        self.same(model, dataset)

    def test_a_meridian_that_is_there_twice_is_used_once(self, model):
        dataset = own()
        again = dataset.isel(longitude=[0]).assign_coords(longitude=[360.0])
        self.same(model, xr.concat([dataset, again], "longitude", data_vars="minimal"))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda d: d.drop_vars("t2m"), "the model needs 2t: .*no variable 2t or t2m"),
            (lambda d: d.isel(model_level=[1]), "lacks the model levels 105 of t; it holds 137: add them"),
            (lambda d: d.isel(longitude=slice(0, 36, 2)), "not every 10 degrees, .* regrid it"),
            (lambda d: d.isel(latitude=slice(0, 5)), "5 x 36 points, less than the neighbourhood of 6 x 9"),
            (lambda d: d.assign(t2m=d.t2m.assign_attrs(units="F")), "'F' is not K and cannot be converted"),
            (lambda d: d.assign(t2m=d.t2m.assign_attrs(units="")), "'' is not K"),
            (
                lambda d: d.assign_coords(latitude=d.latitude - 3).isel(latitude=slice(0, 18)),
                "2t is normalised at each point of the model's grid, .* cut it to these points, or regrid",
            ),
            (
                lambda d: d.assign_coords(valid_time=d.valid_time + np.timedelta64(3, "h")),
                "none of its times",
            ),
            (lambda d: d.rename(latitude="y"), "has no latitude dimension"),
        ],
    )
    def test_what_leaves_doubt_is_refused_with_the_remedy(self, model, change, message):
        with pytest.raises((DataError, SourceError), match=message):
            model.forecast(change(own()), hours=12)

    def test_a_time_given_twice_is_refused(self, model):
        with pytest.raises(DataError, match="is there twice"):
            model.forecast([own(), own().isel(valid_time=[0])], hours=12)

    def test_fields_on_different_grids_are_refused(self, model):
        dataset = own()
        with pytest.raises(DataError, match="give all fields on one grid"):
            model.forecast([dataset[["t"]], dataset[["t2m"]].isel(latitude=slice(0, 12))], hours=12)

    def test_a_bundle_without_normalisation_is_refused(self, model):
        bare = type(model)(**{**vars(model), "normalisation": {}})
        with pytest.raises(AtmoRepError, match="has no normalisation of t, 2t"):
            bare.forecast(own(), hours=12)


class TestRealFiles:
    """ERA5 as it is delivered, read by untrained models of the same grids."""

    @pytest.mark.parametrize(
        ("path", "grid", "fields", "first"),
        [
            (
                "era5_grib/pyposeidon_era5_20110101-03_10u10vmsl.grib",
                {"north": 75, "south": 55, "west": -30, "east": -8, "resolution": 0.25},
                {"10u": {"coupled": ["msl"]}, "msl": {"coupled": ["10u"]}},
                "2011-01-03T23",
            ),
            (
                "era5_netcdf/western_europe_1deg_6h/2022.nc",
                {"north": 60, "south": 40, "west": -10, "east": 20, "resolution": 1},
                {"msl": {"coupled": ["2t"]}, "2t": {"coupled": ["msl"], "normalisation": "global"}},
                "2022-12-31T18",
            ),
        ],
    )
    def test_their_last_time_is_where_a_forecast_starts(self, shared, configure, path, grid, fields, first):
        step = 1 if path.endswith("grib") else 6
        config = configure(
            data={"grid": grid, "time_step": step}, fields=fields, evaluation={"lead_hours": [2 * step]}
        )
        model = atmorep.load(saved(config, tuple(fields), climate(fields)))
        found = model.forecast(open_inputs([shared / path]), hours=4 * step, members=1)
        assert found.init_time == np.datetime64(first)
        for name in fields:
            assert found[name].shape == (1, 4, 1, *Grid.from_config(config.data.grid).shape)
            mean, std = CLIMATE[name]
            assert abs(float(found[name].mean()) - mean) < 3 * std
