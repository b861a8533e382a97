"""The CPU image as its own scripts build it, on a base of Debian packages: no registry need be in reach."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAMS = ("apptainer", "mmdebstrap")


def lacking(repository: Path) -> str:
    """Why no image can be built here; empty where it can."""
    if "ATMOREP_BUILD_IMAGE" not in os.environ:
        return "builds an image, which takes many minutes: make test-containers"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not found; .ci/run says how to install them"
    if os.geteuid():
        return "the base of the image is made by root"
    found = subprocess.run([repository / "containers/builder"], capture_output=True, text=True)
    return found.stderr.strip()


def build(repository: Path) -> Path:
    """Build the image from what is checked out; its Apptainer file."""
    if not _is_new(repository / "containers/wheelhouse/cpu/SHA256SUMS", repository):
        _call(repository, "wheels", "cpu")
    _call(repository, "debian-base")
    base = "BASE=localhost/debian-python:3.11"
    return repository / _call(repository, "build", "cpu", "--build-arg", base).splitlines()[-1]


def _is_new(wheels: Path, repository: Path) -> bool:
    """Whether the wheelhouse was filled after what it follows was last written."""
    sources = [repository / name for name in ("constraints.txt", "pyproject.toml")]
    return wheels.exists() and all(wheels.stat().st_mtime > path.stat().st_mtime for path in sources)


def _call(repository: Path, script: str, *arguments: str) -> str:
    """Run a script of ``containers/``, without namespaces for its steps, which a container may not make."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(
        [repository / "containers" / script, *arguments], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
