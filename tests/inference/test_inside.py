"""What is shown of a model is what it computes."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file

import atmorep
from atmorep import bundle
from atmorep.errors import ConfigError, DataError
from atmorep.inference import inside
from atmorep.inference.labels import of_sample
from atmorep.inference.predictor import Predictor
from atmorep.model.attention import Attend
from atmorep.paths import Paths
from atmorep.sampling.windows import Window

WINDOWS = [Window(150, 4, 31), Window(100, 10, 2)]
QUERIES = [(0, 1, 1, 2), (0, 0, 0, 0), (0, 2, 1, 1)]
COUPLED = {"t": {"coupled": ["2t"]}, "2t": {"coupled": ["t"], "normalisation": "local"}, "tp": {}}
SITES = {"encoder_self", "encoder_cross_2t", "decoder_self", "decoder_encoder"}


def predictor(config):
    """A model whose couplings and queries have an effect, from a bundle."""
    torch.manual_seed(3)
    fields = ("t", "2t")
    model = bundle.build(config, fields)
    for name, parameter in model.named_parameters():
        if "cross" in name or "qkv" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    folder = Paths(config).scored("t")
    folder.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), "weights")
    open("log", "w").close()
    statistics = {field: Paths(config).normalisation(field) for field in fields}
    bundle.save(folder, config, weights=Path("weights"), log=Path("log"), normalisation=statistics)
    return Predictor.load(config, "t", folder)


def half_hidden(model, number=2):
    random = np.random.default_rng(0)
    return {name: random.random((number, *n.tokens)) < 0.5 for name, n in model.neighbourhoods.items()}


@pytest.fixture(params=["all", "visible"])
def coupled(request, configure):
    return predictor(configure(fields=COUPLED, network={"encoder_tokens": request.param}))


def flat(dataset):
    """Weights (block, sample, head, query, token)."""
    return torch.from_numpy(dataset.attention.values).flatten(4)


def test_every_head_of_every_block_and_field_pair_is_there(coupled):
    found = inside.attention(coupled, WINDOWS, half_hidden(coupled), QUERIES)
    assert set(found) == SITES
    for name, dataset in found.items():
        heads = {"encoder_self": 2, "encoder_cross_2t": 1, "decoder_self": 1, "decoder_encoder": 1}[name]
        levels = 1 if name == "encoder_cross_2t" else 2
        assert dict(dataset.attention.sizes) == {
            **{"block": 2, "sample": 2, "head": heads, "query": 3},
            **{"level": levels, "step": 3, "row": 2, "column": 3},
        }


def test_weights_of_a_token_add_up_to_one(coupled):
    hidden = half_hidden(coupled)
    visible_only = coupled.model.fields["t"].visible_only
    asks = torch.tensor([[not (visible_only and hidden["t"][b][q]) for q in QUERIES] for b in range(2)])
    for name, dataset in inside.attention(coupled, WINDOWS, hidden, QUERIES).items():
        sums = flat(dataset).nansum(-1).movedim(1, 0).movedim(-1, 1)  # sample, query, block, head
        there = torch.ones_like(asks) if name.startswith("decoder") else asks
        assert there.any()
        assert torch.allclose(sums[there], torch.tensor(1.0), atol=1e-5)
        assert (sums[~there] == 0).all()


def test_blank_tokens_have_no_weights_where_the_encoder_leaves_them_out(configure):
    model = predictor(configure(fields=COUPLED, network={"encoder_tokens": "visible"}))
    hidden = half_hidden(model)
    hidden["t"][0, 1] = True  # fewer in one sample than in the other
    hidden["t"][:, 0, 1, 1, 2] = False
    found = inside.attention(model, WINDOWS, hidden, QUERIES[:1])
    for name, field in (("encoder_self", "t"), ("encoder_cross_2t", "2t"), ("decoder_encoder", "t")):
        shown = np.isnan(found[name].attention.values[:, :, :, 0])
        assert (shown == hidden[field][None, :, None]).all()
    assert not np.isnan(found["decoder_self"].attention).any()


def test_the_weights_shown_and_the_values_make_up_the_output(configure):
    """softmax(q Kᵀ / √d) V, with the weights as they are shown, is what every module returns."""
    model = predictor(configure(fields=COUPLED))
    everything = list(np.ndindex(model.neighbourhoods["t"].tokens))
    seen = {}
    for name, module in model.model.fields["t"].named_modules():
        if isinstance(module, Attend):
            module.register_forward_hook(
                lambda _, arguments, output, name=name: seen.update({name: (arguments[2], output)})
            )
    found = inside.attention(model, WINDOWS, half_hidden(model), everything)
    modules = {
        "encoder_self": "encoder.{}.attention.attend",
        "encoder_cross_2t": "encoder.{}.attention.cross.2t.attend",
        "decoder_self": "decoder.{}.attention.attend",
        "decoder_encoder": "decoder.{}.attention.attend_encoder",
    }
    for name, module in modules.items():
        for block in range(2):
            values, output = seen[module.format(block)]
            made = flat(found[name])[block] @ values
            assert torch.allclose(made.transpose(1, 2).flatten(2), output, atol=1e-5)


def test_a_token_that_asks_for_nothing_attends_to_all_alike(configure):
    model = predictor(configure(fields=COUPLED))
    heads = model.model.fields["t"].encoder[1].attention
    with torch.no_grad():
        heads.qkv.weight[: len(heads.qkv.weight) // 3] = 0
        heads.cross["2t"].q.weight.zero_()
    found = inside.attention(model, WINDOWS, half_hidden(model), QUERIES, blocks=[1])
    for name in ("encoder_self", "encoder_cross_2t"):
        weights = flat(found[name])
        assert torch.allclose(weights, torch.tensor(1 / weights.shape[-1]))
        assert found[name].block == [1]
    assert flat(found["decoder_self"]).std() > 0


def test_looking_changes_nothing_and_leaves_nothing(configure):
    model = predictor(configure(fields=COUPLED))
    hidden = half_hidden(model)
    before = model.predict(WINDOWS, hidden)
    inside.attention(model, WINDOWS, hidden, QUERIES)
    inside.embeddings(model, WINDOWS, hidden)
    assert np.array_equal(model.predict(WINDOWS, hidden), before)
    assert not any(module._forward_hooks for module in model.model.modules())


def test_coordinates_are_those_of_the_token_centres(coupled):
    found = inside.attention(coupled, WINDOWS, half_hidden(coupled), QUERIES)
    one = of_sample(found["encoder_cross_2t"], 1)  # starts at step 100, row 10, column 2
    assert one.attention.dims == ("block", "head", "query", "level", "time", "latitude", "longitude")
    np.testing.assert_array_equal(one.latitude, [90 - 110, 90 - 140])
    np.testing.assert_array_equal(one.longitude, [30, 60, 90])
    middle = np.datetime64("2001-01-01T03") + 6 * (100 + 2 * np.arange(3)).astype("timedelta64[h]")
    np.testing.assert_array_equal(one.time, middle)
    assert one.level.values.tolist() == [0]
    for number, (level, step, row, column) in enumerate(QUERIES):
        own = of_sample(found["encoder_self"], 0).isel(query=number)
        place = own.isel(level=level, time=step, latitude=row, longitude=column)
        for name in ("level", "time", "latitude", "longitude"):
            assert own[f"query_{name}"] == place[name]


def test_tokens_are_shown_as_embedded_and_after_every_block(coupled):
    hidden = half_hidden(coupled)
    tail = {}
    coupled.model.fields["t"].tail.register_forward_pre_hook(lambda _, x: tail.update(into=x[0]))
    shown = inside.embeddings(coupled, WINDOWS, hidden).embedding
    assert shown.block.values.tolist() == ["embedding", "encoder 0", "encoder 1", "decoder 0", "decoder 1"]
    assert shown.shape == (5, 2, 2, 3, 2, 3, 16)
    assert np.array_equal(shown.sel(block="decoder 1").values.reshape(2, -1, 16), tail["into"])
    embedded = coupled.model.fields["t"].embed(coupled.inputs(WINDOWS, hidden)["t"]).tokens.values
    assert np.array_equal(shown.sel(block="embedding").values.reshape(2, -1, 16), embedded.detach())
    absent = np.isnan(shown.sel(block="encoder 1").values).all(-1)
    out = hidden["t"] if coupled.model.fields["t"].visible_only else np.zeros_like(hidden["t"])
    assert np.array_equal(absent, out)


class TestLooking:
    """From a bundle and the store, as a user's input, to a dataset."""

    PLACE = ("2001-02-10T06", -21.0, 352.0)

    def test_attention_at_a_place_has_all_field_pairs(self, configure):
        model, store = opened(configure)
        tree = model.attention(store, "t", *self.PLACE)
        assert set(tree.children) == SITES
        assert tree.attrs["Conventions"] == "CF-1.11"
        own = tree["encoder_self"].to_dataset()
        assert own.level.attrs["long_name"].startswith("ECMWF hybrid level")
        assert tree["encoder_cross_2t"]["level"].attrs["long_name"] == "single level"
        assert own.query_level.values.tolist() == [105, 137]
        assert (own.query_time == np.datetime64("2001-02-10T03")).all()  # a token of 00 and 06 UTC
        assert (own.query_latitude == -30).all()
        assert (own.query_longitude == 350).all()
        sums = own.attention.sum(["level", "time", "latitude", "longitude"])
        np.testing.assert_allclose(sums, 1, rtol=1e-5)

    def test_tokens_around_a_place_are_shown(self, configure):
        model, store = opened(configure)
        tokens = model.embed(store, "t", *self.PLACE).to_dataset()
        assert tokens.embedding.dims == ("block", "level", "time", "latitude", "longitude", "feature")
        assert np.isfinite(tokens.embedding).all()
        assert tokens.latitude.attrs["standard_name"] == "latitude"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"time": "2001-02-10T05"}, "is none of the input's"),
            ({"time": "now and then"}, "is none of the input's"),
            ({"latitude": 96.0}, "is outside of the grid, -90 to 90 N and 0 to 350 E"),
            ({"field": "tp"}, "field tp: the model predicts t, 2t"),
        ],
    )
    def test_places_that_are_not_there_are_refused(self, configure, change, message):
        model, store = opened(configure)
        options = dict(zip(("field", "time", "latitude", "longitude"), ("t", *self.PLACE), strict=True))
        with pytest.raises(ConfigError, match=message):
            model.embed(store, **{**options, **change})

    def test_a_time_that_the_input_lacks_is_refused(self, configure):
        model, store = opened(configure)
        without = store.sel(time=store.time != np.datetime64("2001-02-05T12"))
        with pytest.raises(DataError, match="the input lacks an hour of the 6 steps around 2001-02-05T12"):
            model.attention(without, "t", "2001-02-05T12", 0.0, 0.0)


def opened(configure):
    """A bundle of a coupled model, and the store it was made from."""
    config = configure(fields=COUPLED)
    predictor(config)
    return atmorep.load(Paths(config).scored("t")), xr.open_zarr(Paths(config).store)
