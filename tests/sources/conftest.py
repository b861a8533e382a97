"""The archive of the tests, and a place to work in."""

import pytest
from cds_server import KEY, CdsServer


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty home and working directory, and no other credentials than the test's own."""
    for name in ("CDSAPI_URL", "CDSAPI_KEY", "CDSAPI_RC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def server(workplace, monkeypatch):
    with CdsServer() as running:
        monkeypatch.setenv("CDSAPI_URL", running.url)
        monkeypatch.setenv("CDSAPI_KEY", KEY)
        yield running
