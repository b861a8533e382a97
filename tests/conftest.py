"""What tests share: the repository, and the real sample files where they are."""

import os
from pathlib import Path

# One thread each, here and in what tests start: sums are then added up in one order, on any machine.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["PL_TRAINER_ACCELERATOR"] = "cpu"  # where trainings are exact to the last bit

import hypothesis
import pytest
from downscaling import prepared_task, pretrained_task  # noqa: F401  (fixtures)
from pipeline import configure, delivered  # noqa: F401  (fixtures)

# how long a case takes depends on what else the machine does
hypothesis.settings.register_profile("whole", deadline=None)
hypothesis.settings.load_profile("whole")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the real sample files; skips the test where there is none."""
    folder = Path(os.environ.get("ATMOREP_SAMPLES", REPOSITORY.parent / "shared/data"))
    if not folder.is_dir():
        pytest.skip(f"no sample data: {folder} is no folder; set ATMOREP_SAMPLES")
    return folder.resolve()
