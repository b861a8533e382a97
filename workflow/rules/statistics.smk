"""Monthly mean and standard deviation, merged from partial sums over training days only."""

for year in TRAINING_YEARS:

    rule:
        name:
            f"sums_{year}"
        input:
            [
                PATHS.part("{field}", around(span))
                for span in of_year(TRAINING_SPANS, year)
            ],
        output:
            [PATHS.sums("{field}", span) for span in of_year(TRAINING_SPANS, year)],
        log:
            LOGS / "sums" / "{field}-{kind}" / f"{year}.log",
        benchmark:
            BENCHMARKS / "sums" / "{field}-{kind}" / f"{year}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=growing(1500),
            runtime=growing(240),
        params:
            config=resolved_config,
            spans=[str(span) for span in of_year(TRAINING_SPANS, year)],
            year=year,
        message:
            "Sum up training days of {wildcards.field}, {params.year}"
        shell:
            "OMP_NUM_THREADS={threads} atmorep sums --config {params.config:q}"
            " --field {wildcards.field:q} --span {params.spans:q} 2>&1 | tee {log:q}"


rule statistics:
    input:
        sums_of,
    output:
        PATHS.normalisation("{field}"),
    log:
        LOGS / "statistics" / "{field}-{identity}.log",
    benchmark:
        BENCHMARKS / "statistics" / "{field}-{identity}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(30),
    params:
        config=resolved_config,
    message:
        "Merge the statistics of {wildcards.field}"
    shell:
        "OMP_NUM_THREADS={threads} atmorep statistics --config {params.config:q}"
        " --field {wildcards.field:q} 2>&1 | tee {log:q}"
