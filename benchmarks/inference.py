"""Prediction of the globe by tiles, against the rate of float32 matrix products, on one core by CPU time.

    python benchmarks/inference.py [--width 256]

A model of the published form but for its width, with random weights, predicts tiles of the globe at 0.25
degrees and five levels, read from a synthetic store, as `atmorep evaluate` does. Some tiles are timed, since
all alike; how often a chunk is read is counted for all.
"""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import torch
from globe import FIELD, SPAN, configuration, neighbourhoods, raw_files
from measuring import Products, Target, measured, parser, report, scratch, workplace

from atmorep import bundle, sizes
from atmorep.config import Config
from atmorep.evaluation.tiles import Tile, tiles
from atmorep.inference.predictor import Predictor
from atmorep.sampling.windows import Window
from atmorep.store.convert import convert
from atmorep.store.layout import ArrayLayout, field_layout

TILES = 5
START = 10
"""First hour of the tiles."""


def network(width: int) -> dict[str, object]:
    """The published network but for its width."""
    size = {"time": 3, "latitude": 9, "longitude": 9}
    extent = {"time": 36, "latitude": 54, "longitude": 108}
    return {"neighbourhood": extent, "token_size": size, "embed_dim": width, "position": "harmonic"}


def reads_a_chunk(layout: ArrayLayout, covered: list[Tile], extent: tuple[int, int, int]) -> float:
    """Mean number of tiles that read a chunk."""
    _, _, height, width = layout.chunk
    rows, columns = layout.grid.shape
    counts = Counter[tuple[int, int]]()
    for tile in covered:
        own_rows = {row // height for row in range(tile.row, tile.row + extent[1])}
        own_columns = {column % columns // width for column in range(tile.column, tile.column + extent[2])}
        counts.update((row, column) for row in own_rows for column in own_columns)
    assert len(counts) == -(-rows // height) * -(-columns // width)
    return float(np.mean(list(counts.values())))


def predictor(config: Config) -> Predictor:
    """Return a predictor with random weights."""
    torch.manual_seed(0)
    reader = neighbourhoods(config)
    return Predictor(bundle.build(config, [FIELD]).eval(), {FIELD: reader}, FIELD, config.network.tails)


def seconds(model: Predictor, tile: Tile) -> float:
    """Seconds of CPU for a tile whose last six hours are hidden."""
    hidden = np.zeros((1, *model.neighbourhoods[FIELD].tokens), bool)
    hidden[:, :, -2:] = True
    start = time.process_time()
    model.predict([Window(START, tile.row, tile.column)], {FIELD: hidden})
    return time.process_time() - start


def main() -> None:
    """Measure."""
    made = parser(__doc__)
    made.add_argument("--width", type=int, default=256)
    given = made.parse_args()
    torch.set_num_threads(1)
    with workplace(scratch()):
        config = configuration(network(given.width))
        raw_files(config)
        convert(config, FIELD, str(SPAN))
        model, products = predictor(config), Products(time.process_time)
        extent = config.network.neighbourhood
        covered = tiles(model.neighbourhoods[FIELD].reader.grid, extent.latitude, extent.longitude)
        seconds(model, covered[0])
        timed, rates = [], []
        for tile in covered[:: len(covered) // TILES][:TILES]:
            before = products.rate()
            timed.append(seconds(model, tile) * len(covered))
            rates.append((before + products.rate()) / 2)
    flops = sizes.size(config, [FIELD]).forward * len(covered)
    name, note = (
        f"global inference, {len(covered)} tiles, width {given.width}",
        "operations at the matrix rate",
    )
    limits = [flops / rate for rate in rates]
    report(measured(name, timed, "s of CPU", Target("ratio", "≥", 0.6), limits=limits, note=note), given.rows)
    often = reads_a_chunk(field_layout(config, FIELD), covered, extent.shape)
    report(measured("global inference, reads of a chunk", often, "", Target("value", "≤", 2)), given.rows)


if __name__ == "__main__":
    main()
