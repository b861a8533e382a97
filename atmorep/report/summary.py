"""What was trained on what, in words; and what the fields look like on average."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from atmorep.config import CdsSource, Config, FilesSource, Period, Training
from atmorep.fields import field
from atmorep.grids import Grid
from atmorep.report import units
from atmorep.report.evidence import Evidence
from atmorep.report.skill import Cell, Table

SIMULATED = (
    "Simulated data. Every value on this page comes from a simulated atmosphere, not from ERA5 or any "
    "observation: the scores say that the system works, not how well it forecasts the weather."
)


def source(config: Config) -> str:
    """The source of the data in one sentence."""
    chosen = config.source
    if isinstance(chosen, CdsSource):
        return "ERA5 from the Copernicus Climate Data Store"
    if isinstance(chosen, FilesSource):
        return f"files on disk ({chosen.pattern})"
    return (
        f"a simulated atmosphere: primitive equations with simple physics, truncation T{chosen.truncation}, "
        f"seed {chosen.seed}, {chosen.spin_up_days} days of spin-up"
    )


def _grid(config: Config) -> str:
    grid, area = Grid.from_config(config.data.grid), config.data.grid
    west_east = f"{_place(area.west, 'EW')} to {_place(area.east, 'EW')}"
    return (
        f"{grid.resolution:g}°, {grid.shape[0]} × {grid.shape[1]} points (rows × columns), "
        f"{_place(area.south, 'NS')} to {_place(area.north, 'NS')}, "
        f"{'all longitudes' if grid.periodic else west_east}"
    )


def _place(degrees: float, sides: str) -> str:
    if sides == "EW" and degrees > 180:
        degrees -= 360
    return f"{abs(degrees):g}°{sides[0] if degrees > 0 else sides[1] if degrees < 0 else ''}"


def _periods(periods: Iterable[Period]) -> str:
    return "; ".join(f"{p.start} to {p.end}" for p in periods)


def _fields(config: Config) -> str:
    return "; ".join(
        f"{units.title(field(name))} ({name}, {units.display(field(name)).units})" for name in config.fields
    )


def lede(config: Config) -> str:
    """What the page is about, in a sentence."""
    names = ", ".join(units.title(field(name)) for name in config.fields)
    periods = config.data.periods
    coupled = ", coupled by cross-attention" if config.coupled else ""
    return (
        f"{names}: one transformer a field{coupled}, trained on {source(config)}, "
        f"{_periods(periods.train)}, and scored on {_periods(periods.test)}."
    )


def setup(config: Config, evidence: Iterable[Evidence]) -> Table:
    """What was trained on what."""
    network, extent = config.network, config.network.neighbourhood
    hidden = f"{100 * config.masking.ratio_min:g} to {100 * config.masking.ratio_max:g} %"
    kind = "pressure levels (hPa)" if config.data.levels.type == "pressure" else "model levels"
    upper = any(not field(name).surface for name in config.fields)
    levels = f"{kind} {', '.join(str(v) for v in config.data.levels.values)}" if upper else "surface only"
    per_field = "; ".join(
        f"{e.spec.name}: tokens of {_extent(config.token_size(e.spec.name).shape)}, width "
        f"{config.embed_dim(e.spec.name)}, {_thousands(e.trainings[0].parameters)} parameters"
        for e in evidence
    )
    rows = {
        "Data": source(config),
        "Fields": _fields(config),
        "Levels": levels,
        "Grid": _grid(config),
        "Time step": f"{config.data.time_step} h",
        "Training period": _periods(config.data.periods.train),
        "Validation period": _periods(config.data.periods.validation),
        "Test period": _periods(config.data.periods.test),
        "Network": (
            f"one transformer a field: {network.encoder_blocks} encoder and {network.decoder_blocks} decoder "
            f"blocks, {network.heads} heads, ensemble of {network.tails} tail networks; neighbourhood "
            f"{_extent(extent.shape)} ({extent.time * config.data.time_step} h)"
        ),
        "Tokens and size": per_field,
        "Training": f"{_training(config.training)}; {hidden} of the tokens hidden",
    }
    if config.coupled:
        rows["Coupling"] = _couplings(config)
        rows["Training of the coupled fields"] = _training(config.coupling.training or config.training)
    return Table("The experiment", (), tuple((Cell(k), Cell(v)) for k, v in rows.items()))


def _training(settings: Training) -> str:
    samples = _thousands(settings.samples_per_epoch)
    return f"{settings.epochs} epochs of {samples} samples, batch {settings.batch_size}"


def _couplings(config: Config) -> str:
    attends = (f"{name} to {', '.join(f.coupled)}" for name, f in config.fields.items() if f.coupled)
    heads = config.network.coupling_heads
    return f"cross-attention, {heads} head{'s' * (heads > 1)} a block and coupled field: {'; '.join(attends)}"


def _extent(shape: tuple[int, int, int]) -> str:
    return " × ".join(str(n) for n in shape) + " points (time × latitude × longitude)"


def _thousands(count: int) -> str:
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def normalisation(evidence: Iterable[Evidence]) -> Table:
    """Mean and standard deviation of the training days by level: the smallest and largest month."""
    rows = []
    for e in evidence:
        logarithmic = e.spec.transform == "log"
        shown = units.Display("1 (logarithm)") if logarithmic else units.display(e.spec)
        horizontal = [d for d in e.normalisation["mean"].dims if d not in ("month", "level")]
        for level in e.normalisation["level"].to_numpy():
            cells = [Cell(e.spec.name), Cell("surface" if e.spec.surface else str(level)), Cell(shown.units)]
            for name in ("mean", "std"):
                values = e.normalisation[name].sel(level=level).mean(horizontal).to_numpy() * shown.factor
                cells += [Cell(_short(np.nanmin(values))), Cell(_short(np.nanmax(values)))]
            rows.append(tuple(cells))
    head = (
        "Field",
        "Level",
        "Units",
        "Smallest monthly mean",
        "Largest monthly mean",
        "Smallest standard deviation",
        "Largest standard deviation",
    )
    return Table("Normalisation, from training days only", head, tuple(rows), 2)


def _short(value: float) -> str:
    return units.number(float(value), units.decimals([float(value)]))
