"""What the tables say."""

import numpy as np
import pandas as pd
import pytest

from atmorep.evaluation.metrics import COLUMNS
from atmorep.fields import field
from atmorep.report import units
from atmorep.report.skill import Scores, comparison, glance, verdict


@pytest.mark.parametrize(
    ("lower", "upper", "better", "expected"),
    [
        (-2, -1, "lower", "better"),
        (1, 2, "lower", "worse"),
        (1, 2, "higher", "better"),
        (-2, -1, "higher", "worse"),
        (-1, 1, "lower", "even"),
        (0, 1, "lower", "even"),
        (np.nan, np.nan, "lower", "unknown"),
    ],
)
def test_verdict(lower, upper, better, expected):
    assert verdict({"lower": lower, "upper": upper}, better) == expected


def scores(*rows, levels=(500,)):
    table = [
        ("forecast", model, "t", level, 6, "domain", metric, *values, 30)
        for level in levels
        for model, metric, *values in rows
    ]
    return Scores.of(pd.DataFrame(table, columns=COLUMNS), field("t"), "forecast", "pressure")


def test_comparison():
    table = comparison(
        scores(
            ("atmorep", "rmse", 1.0, 0.9, 1.1),
            ("persistence", "rmse", 2.0, 1.8, 2.2),
            ("atmorep", "rmse_minus_persistence", -1.0, -1.25, -0.75),
        )
    )
    assert table.head[2:] == (
        "AtmoRep RMSE (K)",
        "Persistence RMSE (K)",
        "AtmoRep minus persistence (K)",
        "Initial times",
    )
    texts = [(cell.text, cell.note, cell.kind) for cell in table.rows[0]]
    assert texts == [
        ("500 hPa", "", ""),
        ("6 h", "", ""),
        ("1.00", "[0.90, 1.10]", ""),
        ("2.00", "[1.80, 2.20]", ""),
        ("better by 50 %", "−1.00 [−1.25, −0.75]", "better"),
        ("30", "", ""),
    ]


def test_too_few_cases_is_said():
    table = comparison(
        scores(
            ("atmorep", "rmse", 1.0, np.nan, np.nan),
            ("persistence", "rmse", 2.0, np.nan, np.nan),
            ("atmorep", "rmse_minus_persistence", -1.0, np.nan, np.nan),
        )
    )
    cells = {cell.text: cell for cell in table.rows[0]}
    assert cells["1.00"].note == "[no interval]"
    assert cells["too few cases to tell"].kind == "unknown"


def test_glance_counts_levels():
    rows = (("atmorep", "rmse", 1, 1, 1), ("persistence", "rmse", 2, 2, 2))
    better = ("atmorep", "rmse_minus_persistence", -1.0, -1.2, -0.8)
    one = scores(*rows, better, levels=(500, 850))
    assert glance([one]).rows[0][3].text == "better at all 2 levels"
    assert glance([one]).rows[0][3].note == "by 50 to 50 %"
    one.table.loc[one.table["level"] == 850, ["lower", "upper"]] = [-1.0, 0.5]
    mixed = Scores(one.field, one.task, one.level_type, one.table)
    assert glance([mixed]).rows[0][3].text == "better at 1 of 2 levels, no clear difference at 1 of 2 levels"
    assert glance([mixed]).rows[0][3].kind == "even"


def test_units_shown():
    assert units.display(field("u")).units == "m s⁻¹"
    assert units.display(field("z")).units == "m² s⁻²"
    assert units.display(field("msl")) == units.Display("hPa", 0.01)
    assert units.display(field("tp")) == units.Display("mm", 1000.0)


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [(-1.5, 1, "−1.5"), (-0.004, 2, "0.00"), (0.0, 0, "0"), (np.nan, 2, "–"), (1234.5, 0, "1234")],
)
def test_number(value, places, text):
    assert units.number(value, places) == text


def test_decimals():
    assert units.decimals([0.5, 0.8, 0.9]) == 3
    assert units.decimals([118.0, 240.0]) == 0
    assert units.decimals([]) == 2
