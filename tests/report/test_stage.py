"""The report as a whole, on artefacts of the form the stages before it write."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pandas as pd
import pytest
from PIL import Image

from atmorep.artefacts import write_text
from atmorep.errors import IntegrityError
from atmorep.paths import Paths
from atmorep.report import provenance
from atmorep.report.evidence import collect
from atmorep.report.stage import report
from atmorep.timeaxis import data_spans

from .artefacts import TASKS, configuration, make
from .browser import NAMES, Browser, installed

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Reader(HTMLParser):
    """Checks that elements nest, and gathers what the tests ask about."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text, self.ids = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(reported):
    reader = Reader()
    reader.feed(reported[2])
    reader.close()
    return reader


def attributes(page, tag):
    return [found for name, found in page.tags if name == tag]


def test_well_formed(page):
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    targets = [a["href"][1:] for a in attributes(page, "a") if a["href"].startswith("#")]
    labels = [a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a]
    assert targets
    assert set(targets + labels) <= set(page.ids)


def test_loads_nothing(page, reported):
    for tag, found in page.tags:
        assert tag not in ("link", "iframe", "object")
        assert found.get("src", "data:").startswith("data:")
    style = re.search(r"<style>(.*?)</style>", reported[2], re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style


def test_every_image_decodes_and_is_described(page):
    images = attributes(page, "img")
    assert len(images) > 15
    for image in images:
        assert len(image["alt"]) > 40
        media, data = image["src"].removeprefix("data:").split(";base64,")
        data = base64.b64decode(data, validate=True)
        if media == "image/svg+xml":
            assert ElementTree.fromstring(data).tag.endswith("svg")
        else:
            with Image.open(io.BytesIO(data)) as decoded:
                decoded.load()
                assert min(decoded.size) > 300


def test_figures_are_the_images_of_the_page(page, reported):
    files = {path.read_bytes() for path in reported[1].figures.iterdir()}
    shown = {base64.b64decode(image["src"].split(",")[1]) for image in attributes(page, "img")}
    assert files == shown
    names = {path.name for path in reported[1].figures.iterdir()}
    assert {"t-forecast-850-6h-map.webp", "msl-forecast-0-skill.svg", "t-alone-training.svg"} <= names


def test_tables_have_units_and_intervals(reported):
    tables = re.findall(r"<table>(.*?)</table>", reported[2], re.DOTALL)
    scored = [table for table in tables if "with 95 % intervals" in table]
    assert len(scored) == 2 * 3 * 3  # fields, tasks; RMSE, CRPS and all scores
    for table in scored:
        heads = re.findall(r'<th scope="(?:col|row)">(.*?)</th>', table)
        kinds = [h for h in heads if re.search("RMSE|MAE|Bias|CRPS|Spread|ACC|resolution", h)]
        assert kinds
        assert all(re.search(r"\((K|hPa|1|km)\)$", head) for head in kinds)
        cells = re.findall(r"<td[^>]*><span>(.*?)</td>", table, re.DOTALL)
        numbers = [cell for cell in cells if re.match(r"−?\d+\.\d", cell)]
        assert numbers
        assert all(re.search(r"\[−?[\d.]+, −?[\d.]+\]", cell) for cell in numbers)


def test_values_are_those_of_the_metrics(reported):
    metrics = pd.read_csv(reported[1].metrics)
    chosen = metrics.query(
        "field == 'msl' and task == 'forecast' and lead_hours == 6 and metric == 'rmse' "
        "and model == 'atmorep'"
    ).iloc[0]
    lower, value, upper = (f"{chosen[name] / 100:.2f}" for name in ("lower", "value", "upper"))  # hPa
    assert f'{value} <span class="note">[{lower}, {upper}]</span>' in reported[2]


def test_verdicts_in_words(page):
    text = " ".join(page.text)
    assert "better by 38 %" in text
    assert "no clear difference" in text  # linear interpolation: the interval holds zero


def test_metrics_are_the_concatenation(reported):
    config, paths, _ = reported
    texts = [(paths.evaluation(name) / "metrics.csv").read_text() for name in config.fields]
    header, _, first = texts[0].partition("\n")
    second = texts[1].partition("\n")[2]
    assert paths.metrics.read_text() == f"{header}\n{first}{second}"


def test_text_is_escaped(page, reported):
    assert "<b>{field}</b>" not in reported[2]
    assert "<b>{field}</b>" in "".join(page.text)


def test_simulated_and_repeatable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(provenance, "commit", lambda: "")  # the checkout may change meanwhile
    config = configuration(source={"kind": "simulated"}, fields={"msl": None})
    make(config, {"forecast": TASKS["forecast"]})
    report(config)
    text = Paths(config).report.read_text()
    assert text.index("Simulated data.") < text.index("At a glance")
    assert "the coastlines are the real Earth" in text
    report(config)
    assert Paths(config).report.read_text() == text


def test_costs_of_this_configuration_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = configuration(fields={"msl": None})
    make(config)
    paths = Paths(config)
    rows = "s\th:m:s\tmax_rss\tmean_load\n{}\t0:00:01\t100.5\t50.0\n"
    folder = paths.results / "benchmarks"
    write_text(folder / "convert/msl/2019-01.tsv", rows.format(3.5))
    write_text(folder / "convert/msl/2019-02.tsv", rows.format(1.5))
    write_text(folder / f"pretrain/{paths.model('msl').name}.tsv", rows.format(7.25))
    write_text(folder / "download/2019-01.tsv", rows.format(0.5))
    write_text(folder / "pretrain/msl-0123456789.tsv", rows.format(1000))
    table = provenance.stage_cost(folder, collect(config, "msl").files)
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["download", "1", "0.5", "0.5", "100", "0.50"],
        ["convert", "2", "5.0", "3.5", "100", "0.50"],
        ["pretrain", "1", "7.2", "7.2", "100", "0.50"],
    ]


@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ("evaluate", lambda paths, span: paths.evaluation("msl") / "metrics.csv"),
        ("evaluate", lambda paths, span: paths.evaluation("msl") / "maps.nc"),
        ("evaluate", lambda paths, span: paths.evaluation("msl") / "statistics.nc"),
        ("evaluate", lambda paths, span: paths.evaluation("msl") / "calibration.nc"),
        ("pretrain", lambda paths, span: paths.model("msl") / "training.csv"),
        ("pretrain", lambda paths, span: paths.model("msl") / "model.safetensors"),
        ("convert", lambda paths, span: paths.part("msl", span)),
        ("compare", lambda paths, span: paths.compared("msl", span)),
        ("statistics", lambda paths, span: paths.normalisation("msl")),
    ],
)
@pytest.mark.parametrize("damage", ["missing", "broken"])
def test_missing_or_broken_input(tmp_path, monkeypatch, stage, path, damage):
    monkeypatch.chdir(tmp_path)
    config = configuration(fields={"msl": None})
    make(config)
    artefact = path(Paths(config), data_spans(config.data)[0])
    if damage == "missing":
        artefact.unlink()
    else:
        artefact.write_bytes(b"no such thing")
    with pytest.raises(IntegrityError) as error:
        report(config)
    assert str(artefact) in str(error.value)
    assert f"atmorep {stage}" in str(error.value)
    assert "field msl" in str(error.value)
    assert not Paths(config).results.joinpath("report.html").exists()


@pytest.fixture(scope="module")
def opened(reported, tmp_path_factory):
    if installed() is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        browser.open(reported[1].report.as_uri())
        yield browser


def test_a_browser_shows_all_and_complains_of_nothing(opened, reported):
    assert opened.complaints == []
    assert [url for url in opened.requested if not url.startswith("data:")] == [reported[1].report.as_uri()]
    images = opened.value("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    assert len(images) == reported[2].count("<img")
    assert all(images)


def test_the_slider_works_by_keyboard(opened):
    shown = "[...document.querySelector('.slides').querySelectorAll('.frame')].filter(f => f.offsetHeight)"
    name = "document.querySelector('.slides output').value"
    labels = opened.value("[...document.querySelector('.slides').children].map(c => c.dataset.label)")[1:]
    assert len(labels) > 1
    opened.value("document.querySelector('.slides input').focus()")
    for key, code, expected in (
        ("End", 35, -1),
        ("ArrowLeft", 37, -2),
        ("ArrowRight", 39, -1),
        ("Home", 36, 0),
    ):
        opened.press(key, code)
        assert opened.value(name) == labels[expected]
        assert opened.value(f"{shown}.map(f => f.dataset.label)") == [labels[expected]]
    assert opened.value("document.querySelector('.slides input').getAttribute('aria-valuetext')") == labels[0]


@pytest.mark.parametrize("width", [1200, 390])
def test_tables_fit_on_the_page(opened, reported, width):
    opened.open(reported[1].report.as_uri(), width)
    opened.value("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert opened.value("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth + 1)"
    assert opened.value(f"{wide}.map(s => s.querySelector('caption').textContent)") == []


def test_tables_fit_on_paper(opened, reported):
    opened.open(reported[1].report.as_uri(), 718)  # A4 less margins at 96 dots an inch
    opened.ask("Emulation.setEmulatedMedia", media="print")
    opened.value("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    wide = "[...document.querySelectorAll('table')].filter(t => t.getBoundingClientRect().right > 718)"
    assert opened.value(f"{wide}.map(t => t.caption.textContent)") == []
    assert opened.value("getComputedStyle(document.querySelector('.slider')).display") == "none"
