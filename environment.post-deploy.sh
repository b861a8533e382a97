#!/usr/bin/env bash
# AtmoRep itself, into the environment that `snakemake --sdm conda` has made from environment.yml.
# Snakemake runs this in its working directory.
set -euo pipefail
test -f pyproject.toml || { echo "run snakemake --sdm conda in AtmoRep's repository" >&2; exit 1; }
python -m pip install --quiet --no-deps --editable .
