from pathlib import Path

import pytest

from atmorep.paths import Paths
from atmorep.report.stage import report

from .artefacts import configuration, make


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A configuration, its paths and its page, in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("report"))
        config = configuration()
        make(config)
        report(config)
        root = Path.cwd()
        yield config, Paths(config, root), Paths(config, root).report.read_text()
