"""What the tables say."""

import numpy as np
import pandas as pd
import pytest

from atmorep.evaluation.metrics import COLUMNS
from atmorep.fields import field
from atmorep.report import units
from atmorep.report.scorecard import Mark, scorecards
from atmorep.report.skill import Cell, Scores, comparison, glance, verdict


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
    assert table.head[2:] == ("AtmoRep RMSE (K)", "Persistence RMSE (K)", "Initial times")
    texts = [(cell.text, cell.note, cell.kind) for cell in table.rows[0]]
    assert texts == [
        ("500 hPa", "", ""),
        ("6 h", "", ""),
        ("1.00", "[0.90, 1.10]", ""),
        ("2.00", "[1.80, 2.20]", ""),
        ("30", "", ""),
    ]
    assert table.rows[0][3].below == (Cell("better by 50 %", "−1.00 [−1.25, −0.75]", "better"),)


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
    (said,) = cells["2.00"].below
    assert (said.text, said.kind) == ("too few cases to tell", "unknown")


def test_glance_counts_levels():
    rows = (("atmorep", "rmse", 1, 1, 1), ("persistence", "rmse", 2, 2, 2))
    better = ("atmorep", "rmse_minus_persistence", -1.0, -1.2, -0.8)
    one = scores(*rows, better, levels=(500, 850))
    assert glance([one], "Fields").rows[0][3].text == "better at all 2 levels"
    assert glance([one], "Fields").rows[0][3].note == "by 50 to 50 %"
    one.table.loc[one.table["level"] == 850, ["lower", "upper"]] = [-1.0, 0.5]
    mixed = Scores(one.field, one.task, one.level_type, one.table)
    (row,) = glance([mixed], "Fields").rows
    assert row[3].text == "better at 1 of 2 levels, no clear difference at 1 of 2 levels"
    assert row[3].kind == "even"


def test_scorecards():
    """Against the strongest baseline first; of a small difference with a wide interval nothing is said."""
    rows = [
        ("atmorep", "rmse", 1.0, 0.9, 1.1),
        ("persistence", "rmse", 4.0, 3.8, 4.2),
        ("climatology", "rmse", 0.98, 0.9, 1.1),
        ("single", "rmse", 0.5, 0.9, 1.1),
        ("atmorep", "rmse_minus_persistence", -3.0, -3.25, -2.75),
        ("atmorep", "rmse_minus_climatology", 0.02, -0.1, 0.1),
        ("atmorep", "rmse_minus_single", 0.5, 0.4, 0.6),
    ]
    ((first, second, third),) = scorecards([scores(*rows, levels=(500, 850))])
    assert first.caption == "Forecast: RMSE against climatology, the strongest baseline"
    assert second.caption == "Forecast: RMSE against persistence"
    assert third.caption == "Forecast: RMSE against field alone"
    marks = [card.cards[0].rows[1][1][0] for card in (first, second, third)]
    assert marks == [Mark("−2", "down1", False), Mark("+75", "up4", True), Mark("−100", "down4", True)]
    assert [name for name, _ in first.cards[0].rows] == ["t, 500 hPa", "t, 850 hPa"]
    assert first.cards[0].leads == ("6 h",)


def test_lead_times_go_back_too():
    row = ("hindcast", "atmorep", "t", 500, 0, "domain", "rmse", 1.0, 0.9, 1.1, 30)
    table = pd.DataFrame([row] * 3, columns=COLUMNS).assign(lead_hours=[-12, -3, -6])
    back = Scores.of(table, field("t"), "hindcast", "pressure")
    assert back.leads == [-12, -6, -3]
    assert back.longest == -12
    assert back.lead(back.longest) == "−12 h"
    assert back.at(500, -3).leads == [-3]


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
