"""What Apptainer is told to show, and which names of images are taken."""

import pytest
from pipeline import SETTINGS, merged

from atmorep.config import parse
from atmorep.container import environment, outside
from atmorep.errors import ConfigError

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory, and beside it a folder of data."""
    for name in ("work", "data"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def configured(folder, **changes):
    return parse(merged(merged(SETTINGS, {"source": {"folder": str(folder)}}), changes))


@pytest.mark.parametrize(
    "image",
    [
        "atmorep-cpu-0.1.0.sif",
        "/images/atmorep-cpu-0.1.0-0123456789ab.sif",
        "../images/atmorep-v1.sif",
        f"docker://registry.example.org:5000/atmorep@sha256:{DIGEST}",
        f"oras://registry.example.org/atmorep@sha256:{DIGEST}",
    ],
)
def test_a_name_that_says_which_image(image):
    assert configured("/data", container=image).container == image


@pytest.mark.parametrize(
    "image",
    [
        "atmorep.sif",
        "atmorep-cpu.sif",
        "atmorep-x86_64.sif",
        "atmorep-cpu-0.1.0",
        "my image-1.sif",
        "docker://registry.example.org/atmorep:latest",
        "docker://registry.example.org/atmorep:0.1.0",
        "docker://registry.example.org/atmorep@sha256:0123",
        f"docker://registry.example.org/atmorep:0.1.0@sha256:{DIGEST}",  # which Apptainer does not take
    ],
)
def test_a_name_that_may_become_another_image_is_refused(image):
    with pytest.raises(ConfigError, match=r"container = .*may change unseen"):
        configured("/data", container=image)


def test_an_address_is_refused_where_each_process_would_fetch_it():
    image = f"docker://registry.example.org/atmorep@sha256:{DIGEST}"
    with pytest.raises(ConfigError, match=r"apptainer build NAME-VERSION.sif docker://registry"):
        configured("/data", container=image, coupling={"training": {"nodes": 2}})


def test_folders_outside_are_shown_and_those_inside_are_there_anyway(place):
    (place / "work/own").mkdir()
    assert outside(configured(place / "data")) == [place / "data"]
    assert outside(configured("../data")) == [place / "data"]
    assert outside(configured("own")) == []
    assert outside(configured(place / "absent")) == []


def test_every_path_of_the_configuration_is_shown(place):
    for name in ("fine", "partner"):
        (place / name).mkdir()
    (place / "multiformer-0123456789").mkdir()
    files = {"kind": "files", "pattern": "{year}{month}.nc"}
    wind = {
        "source": {**files, "folder": str(place / "fine")},
        "partner_source": {**files, "folder": str(place / "partner")},
        "vector": "u",
        "variable": "u10",
        "partner": "v10",
        "units": "m s-1",
        "field": "10u",
    }
    start = str(place / "multiformer-0123456789")
    config = configured(place / "data", targets={"wind": wind}, coupling={"start": start})
    assert {path.name for path in outside(config)} == {"data", "fine", "partner", "multiformer-0123456789"}


def test_what_links_lead_to_is_shown(place):
    (place / "scratch").mkdir()
    (place / "work/models").symlink_to(place / "scratch")
    (place / "work/again").symlink_to(place / "work")
    assert outside(configured(place / "data")) == [place / "data", place / "scratch"]


def test_what_the_user_shows_stays_and_nothing_is_told_twice(place):
    config = configured(place / "data")
    once = environment(config, {"APPTAINER_BIND": "/scratch:/scratch:ro"})
    assert once["APPTAINER_BIND"] == f"/scratch:/scratch:ro,{place / 'data'}"
    assert environment(config, once) == once


def test_a_path_that_cannot_be_told_is_refused(place):
    (place / "1,5 degrees").mkdir()
    with pytest.raises(ConfigError, match="1,5 degrees"):
        environment(configured(place / "1,5 degrees"), {})
