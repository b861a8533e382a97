"""Batches from a real store: the same whoever asks, and without what is hidden."""

import shutil

import numpy as np
import pytest
import torch
from pipeline import MISSING, weather

from atmorep.grids import Grid
from atmorep.masking import training_masks
from atmorep.paths import Paths
from atmorep.sampling.batches import FieldBatch, Share, TrainingBatches
from atmorep.sampling.tokens import detokenise, per_point
from atmorep.sampling.windows import Window, sample_generator
from atmorep.store.arrays import open_array
from atmorep.training.data import neighbourhoods, window_sampler
from atmorep.training.loaders import training_loader
from atmorep.training.problem import MaskedTokens
from atmorep.transforms import inverse

FIELDS = ["t", "2t", "tp"]
PARTS = ("source", "target", "info", "blank", "selected", "weight")


class OneField:
    """The batches of one field of several, by number."""

    def __init__(self, batches, field):
        self.batches, self.field = batches, field

    def __getitem__(self, number):
        return self.batches[number][self.field]


def together(config, fields, batch_size=4, rank=0, ranks=1):
    readers = {field: neighbourhoods(config, field) for field in fields}
    return TrainingBatches(
        config,
        readers,
        window_sampler(config, readers, "train"),
        training_masks(config, fields),
        Share("train", config.training.seed, 5, batch_size, rank, ranks),
    )


def batches(config, field="t", **place):
    return OneField(together(config, (field,), **place), field)


def same(one: FieldBatch, other: FieldBatch) -> bool:
    return all(torch.equal(getattr(one, part), getattr(other, part)) for part in PARTS)


@pytest.mark.parametrize("field", FIELDS)
def test_shapes(configure, field):
    config = configure()
    batch, levels = batches(config, field)[0], len(config.model_levels(field))
    assert batch.source.shape == batch.target.shape == (4, levels, 3, 2, 3, 18)
    assert batch.info.shape == (4, levels, 3, 2, 3, 10)
    assert batch.blank.shape == batch.selected.shape == (4, levels, 3, 2, 3)
    assert batch.weight.shape == (4, 1, 1, 2, 1, 18)
    assert batch.source.dtype == batch.target.dtype == batch.info.dtype == torch.float32
    assert all(torch.isfinite(getattr(batch, part)).all() for part in PARTS)  # no missing hour is drawn


def test_a_batch_does_not_depend_on_order_or_on_who_reads(configure):
    config = configure()
    forwards, again = batches(config), batches(config)
    expected = [forwards[n] for n in range(7)]  # beyond the first epoch's 5
    assert all(same(again[n], expected[n]) for n in (6, 2, 5, 0, 2))
    assert not any(same(expected[a], expected[b]) for a in range(7) for b in range(a))


def test_ranks_share_the_samples_of_the_batch_without_overlap(configure):
    config = configure()
    whole = batches(config)
    halves = [batches(config, batch_size=2, rank=rank, ranks=2) for rank in (0, 1)]
    for number in (0, 1, 6):
        first, second = (half[number] for half in halves)
        for part in PARTS:
            joined = torch.cat([getattr(first, part), getattr(second, part)])
            assert torch.equal(joined, getattr(whole[number], part))
        assert not any(torch.equal(a, b) for a in first.info for b in second.info)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_training_loader_goes_on_from_any_step_whatever_the_workers(configure, workers):
    steps = list(training_loader(MaskedTokens(configure(), ("2t",))))
    assert len(steps) == 6  # three epochs of two
    assert not any(same(a["2t"], b["2t"]) for n, a in enumerate(steps) for b in steps[:n])
    problem = MaskedTokens(configure(training={"workers": workers}), ("2t",))
    later = training_loader(problem, first=3)
    for batch, expected in zip(later, steps[3:], strict=True):
        assert same(batch["2t"], expected["2t"])


def test_a_fields_batches_are_the_same_whatever_other_fields_there_are(configure):
    """They lack no hour more than it, so that the windows are the same too."""
    config = configure(masking={"forecast": 0.3, "temporal_interpolation": 0.2})
    alone, pair, all_fields = (together(config, fields) for fields in (["t"], ["2t", "t"], ["tp", "t", "2t"]))
    for number in (0, 1, 6):
        assert list(all_fields[number]) == ["tp", "t", "2t"]
        assert same(pair[number]["t"], alone[number]["t"])
        assert same(all_fields[number]["t"], alone[number]["t"])
        assert same(all_fields[number]["2t"], pair[number]["2t"])


def test_fields_draw_their_masks_apart_and_see_the_same_windows(configure):
    batch = together(configure(masking={"ratio_min": 0.5, "ratio_max": 0.5}), ["2t", "tp"], batch_size=20)[0]
    assert torch.equal(batch["2t"].info, batch["tp"].info)  # both at the surface
    assert not (batch["2t"].selected == batch["tp"].selected).all((1, 2, 3, 4)).any()


def test_no_field_sees_what_another_is_to_forecast(configure):
    size = {"time": 3, "latitude": 2, "longitude": 9}
    config = configure(
        fields={"2t": {"token_size": size}},
        masking={"forecast": 1, "masked": 1, "noised": 0, "coarsened": 0},
        network={"neighbourhood": {"time": 12}},
    )
    batch = together(config, ["t", "2t"], batch_size=8)[0]
    lacking = [
        per_point(batch[field].blank, config.token_size(field).shape)[:, 0, :, 0, 0] for field in ("t", "2t")
    ]
    assert torch.equal(*lacking)
    assert lacking[0].sum(1).unique().tolist() == [6]  # 2 and 3 steps a token: the next 6


def test_fields_of_a_sample_are_asked_for_the_same(configure):
    shares = {"forecast": 0.4, "temporal_interpolation": 0.3, "spatial": 0.1}
    config = configure(masking=shares, network={"neighbourhood": {"time": 12}})
    batch = together(config, ["2t", "tp"], batch_size=40)[0]
    lacking = [(one.blank.all(-1).all(-1).all(1), one.blank.any((1, 3, 4))) for one in batch.values()]
    spans = [whole & (whole == some).all(1, keepdim=True) for whole, some in lacking]
    assert torch.equal(*spans)
    assert len(spans[0].unique(dim=0)) > 5  # forecasts of 1 to 3, gaps at 1 to 4, and neither


@pytest.mark.parametrize("synchronised", [False, True])
def test_the_noise_of_fields_is_independent(configure, synchronised):
    shares = {"ratio_min": 0.5, "masked": 0, "noised": 1, "coarsened": 0, "synchronised": synchronised}
    batch = together(configure(masking=shares), ["2t", "tp"], batch_size=20)[0]
    both = batch["2t"].selected & batch["tp"].selected
    noise = torch.stack([(one.source - one.target)[both].flatten() for one in batch.values()])
    assert abs(torch.corrcoef(noise)[0, 1].item()) < 4 / noise.shape[1] ** 0.5  # four standard errors


def test_windows_are_whole_for_every_field(configure):
    config = configure()
    readers = {field: neighbourhoods(config, field) for field in ("2t", "t")}
    both, one = (window_sampler(config, r, "train") for r in (readers, {"2t": readers["2t"]}))
    missing = int(readers["t"].reader.axis.index(MISSING))  # t only
    assert set(one.starts) - set(both.starts) == set(range(missing - 5, missing + 1))


@pytest.mark.parametrize("field", ["t", "tp"])
def test_what_is_hidden_never_reaches_the_source(configure, delivered, field, tmp_path):
    config = configure(masking={"ratio_min": 0.5, "masked": 0.8, "noised": 0.1, "coarsened": 0.1})
    before = batches(config, field, batch_size=1)[3]
    (tmp_path / "data").unlink()
    shutil.copytree(delivered / "data", tmp_path / "data")
    perturbed(config, field, before)
    after = batches(config, field, batch_size=1)[3]
    assert torch.equal(after.source, before.source)
    blank = before.blank
    assert torch.equal(after.target[~blank], before.target[~blank])
    assert (after.target[blank] != before.target[blank]).all()


def perturbed(config, field, batch):
    """Change what the store holds below the blank tokens of the only sample of batch 3."""
    drawn = together(config, (field,), batch_size=1)
    window = drawn.sampler.draw(sample_generator("train", config.training.seed, 0, 3))
    e, array = config.network.neighbourhood, open_array(Paths(config).store, field)
    columns = [(window.column + n) % 36 for n in range(e.longitude)]
    times, rows = slice(window.start, window.start + e.time), slice(window.row, window.row + e.latitude)
    values = array[times, :, rows].read().result()
    hidden = per_point(batch.blank, config.token_size(field).shape)[0].swapaxes(0, 1).numpy()
    values[..., columns] += np.where(hidden, 1, 0)
    array[times, :, rows].write(values).result()


def test_exact_numbers_are_selected_and_only_they_are_distorted(configure):
    config = configure(
        masking={"ratio_min": 0.5, "ratio_max": 0.5, "masked": 0.5, "noised": 0.2, "coarsened": 0.2}
    )
    batch = batches(config, batch_size=20)[0]
    assert (batch.selected.sum((2, 3, 4)) == 9).all()  # of 18 a level
    assert not (batch.blank & ~batch.selected).any()
    assert (batch.source[batch.blank] == 0).all()
    changed = (batch.source != batch.target).any(-1)
    assert not (changed & ~batch.selected).any()
    share = changed.float().sum() / batch.selected.sum()
    assert share.item() == pytest.approx(0.9, abs=4 * 0.3 / batch.selected.sum().item() ** 0.5)


@pytest.mark.parametrize("field", FIELDS)
def test_normalisation_and_tokens_are_undone_exactly(configure, field):
    config = configure()
    reader = neighbourhoods(config, field)
    windows = [Window(96, 0, 0), Window(150, 13, 30), Window(185, 5, 35)]  # either side of February's middle
    mean, std = reader.scales(windows)
    back = inverse(field, detokenise(reader.normalised(windows), reader.token_size).numpy() * std + mean)
    # float32 arithmetic on numbers up to 300 K; precipitation through log1p and expm1
    np.testing.assert_allclose(back, reader.values(windows), rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize("field", ["t", "2t"])
def test_values_are_those_delivered_where_and_when_they_belong(configure, field):
    config = configure()
    reader, grid = neighbourhoods(config, field), Grid.from_config(config.data.grid)
    window = Window(150, 4, 31)  # across Greenwich
    columns = (31 + np.arange(9)) % 36
    found = reader.values([window])[0]
    for step, time in enumerate(reader.reader.axis.times(150, 156)):
        for at, level in enumerate(config.model_levels(field)):
            expected = weather(field, level, time, grid)[4:10][:, columns]
            # 16 bits over a range of some 100 K, and as much again in rounding
            np.testing.assert_allclose(found[at, step], expected, atol=4e-3)


@pytest.mark.parametrize("field", FIELDS)
def test_normalised_training_data_have_mean_zero_and_unit_variance(configure, field):
    config = configure(network={"neighbourhood": {"time": 6, "latitude": 18, "longitude": 36}})
    reader = neighbourhoods(config, field)
    area = torch.from_numpy(reader.reader.grid.weights[:18]).float()
    starts = range(96, 138, 6)  # up to the missing hour
    values = detokenise(reader.normalised([Window(s, 0, 0) for s in starts]), reader.token_size)
    weights = area if field != "2t" else torch.ones_like(area)  # 2t: each point has its own
    mean = (values * weights).mean() / weights.mean()
    std = ((values - mean).square() * weights).mean().sqrt() / weights.mean().sqrt()
    # a fortnight of a travelling wave, south pole left out, months interpolated
    assert abs(mean.item()) < 0.1
    assert std.item() == pytest.approx(1, abs=0.15)


def test_a_subset_of_levels_is_normalised_by_its_own_statistics(configure):
    all_levels = neighbourhoods(configure(), "t")
    window = [Window(107, 3, 5)]
    for at, level in enumerate((105, 137)):
        only = neighbourhoods(configure(fields={"t": {"levels": [level]}}), "t")
        assert torch.equal(only.normalised(window), all_levels.normalised(window)[:, at : at + 1])
    swapped = neighbourhoods(configure(fields={"t": {"levels": [137, 105]}}), "t")
    assert torch.equal(swapped.normalised(window), all_levels.normalised(window).flip(1))


def test_no_window_holds_the_missing_hour(configure):
    config = configure()
    reader = neighbourhoods(config, "t")
    starts = window_sampler(config, {"t": reader}, "train").starts
    missing = int(reader.reader.axis.index(MISSING))
    first, last = (int(reader.reader.axis.index(np.datetime64(d, "h"))) for d in ("2001-01-25", "2001-02-16"))
    assert set(starts) == set(range(first, last - 5)) - set(range(missing - 5, missing + 1))


@pytest.mark.parametrize("row", [0, 4, 13])
def test_weights_are_the_areas_of_rows_with_mean_one_in_every_window(configure, row):
    config = configure()
    reader = neighbourhoods(config, "t")
    weight = reader.weight([Window(100, row, 0), Window(100, 7, 3)])
    assert torch.allclose(weight.mean((1, 2, 3, 4, 5)), torch.ones(2))
    points = detokenise(weight.expand(-1, 2, 3, -1, 3, -1), reader.token_size).numpy()[0]
    edges = np.radians(np.clip(95 - 10.0 * np.arange(row, row + 7), -90, 90))
    expected = -np.diff(np.sin(edges))
    np.testing.assert_allclose(
        points, np.broadcast_to((expected / expected.mean())[:, None], points.shape), rtol=1e-5
    )


def test_information_is_that_of_each_tokens_centre(configure):
    config = configure()
    info = neighbourhoods(config, "t").info([Window(10, 2, 33)])[0].numpy()  # L K I J F
    # rows 2 to 4 and 5 to 7 from 90 degrees: centres at 60 and 30 degrees; columns from 330 degrees
    np.testing.assert_allclose(info[1, 2, :, 1, 5], np.sin(np.radians([60, 30])), rtol=1e-6)
    np.testing.assert_allclose(info[0, 1, 1, :, 6], np.sin(np.radians([340, 10, 40])), atol=1e-6)
    np.testing.assert_allclose(info[:, 0, 0, 0, 8], [1.05, 1.37], rtol=1e-6)
    # steps 10 and 11 are 12 and 18 UTC of 3 January: at 15 UTC, solar time 13:40 at 340 degrees
    solar = np.radians(15 * 15 + 340)
    np.testing.assert_allclose(info[0, 0, 0, 0, 3:5], [np.sin(solar), np.cos(solar)], atol=1e-6)
