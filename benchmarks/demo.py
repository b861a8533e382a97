"""The demo's wall time against the sum of its stages' times on two cores, from what a finished run left.

    python benchmarks/demo.py [results/demo]

A stage's time is that of Snakemake's benchmark file: its seconds, or those of CPU where it used several
cores. The run lasts from the resolved configuration, which is written first, to the last benchmark file.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from measuring import Target, absent, measured, parser, report

CORES = 2
NAME, TARGET = "demo, stages on two cores over wall time", Target("ratio", "≥", 0.75)


def stages(folder: Path) -> pd.DataFrame:
    """Return stage and core-seconds of each job."""
    rows = []
    for path in sorted(folder.rglob("*.tsv")):
        timed = pd.read_csv(path, sep="\t").iloc[-1]
        stage = path.relative_to(folder).parts[0].removesuffix(".tsv")
        rows.append({"stage": stage, "seconds": max(timed["s"], timed["cpu_time"])})
    return pd.DataFrame(rows)


def wall(results: Path) -> float:
    """Seconds from the first job to the end of the last."""
    ends = [path.stat().st_mtime for path in (results / "benchmarks").rglob("*.tsv")]
    return max(ends) - (results / "config.yaml").stat().st_mtime


def main() -> None:
    """Report the whole, and each stage's share."""
    made = parser(__doc__)
    made.add_argument("results", type=Path, nargs="?", default=Path("results/demo"))
    given = made.parse_args()
    if not (given.results / "benchmarks" / "report.tsv").exists():
        report(absent(NAME, f"{given.results} holds no finished run; make demo first", TARGET), given.rows)
        return
    found = stages(given.results / "benchmarks")
    least, note = found["seconds"].sum() / CORES, f"stages on {CORES} cores, {len(found)} jobs"
    report(measured(NAME, wall(given.results), "s", TARGET, limits=least, note=note), given.rows)
    for stage, seconds in found.groupby("stage")["seconds"].agg(["sum", "size"]).iterrows():
        print(f"  {stage}: {seconds['size']:.0f} jobs, {seconds['sum']:.0f} s")


if __name__ == "__main__":
    main()
