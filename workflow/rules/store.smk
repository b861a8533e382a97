"""Raw files to the Zarr store, month by month, and the proof that both say the same."""


rule convert:
    input:
        raw_of,
    output:
        PATHS.part("{field}", "{span}"),
    log:
        LOGS / "convert" / "{field}" / "{span}.log",
    benchmark:
        BENCHMARKS / "convert" / "{field}" / "{span}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(60),
    params:
        config=resolved_config,
    message:
        "Convert {wildcards.field}, {wildcards.span}"
    shell:
        "OMP_NUM_THREADS={threads} atmorep convert --config {params.config:q}"
        " --field {wildcards.field:q} --span {wildcards.span:q} 2>&1 | tee {log:q}"


# Months of a year in one job: a month alone takes less time than starting a job.
for year in YEARS:

    rule:
        name:
            f"compare_{year}"
        input:
            raw=raw_of_year(year),
            parts=[PATHS.part("{field}", span) for span in of_year(SPANS, year)],
        output:
            [PATHS.compared("{field}", span) for span in of_year(SPANS, year)],
        log:
            LOGS / "compare" / "{field}" / f"{year}.log",
        benchmark:
            BENCHMARKS / "compare" / "{field}" / f"{year}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=growing(1500),
            runtime=growing(240),
        params:
            config=resolved_config,
            spans=[str(span) for span in of_year(SPANS, year)],
            year=year,
        message:
            "Compare the store with the raw files of {wildcards.field}, {params.year}"
        shell:
            "OMP_NUM_THREADS={threads} atmorep compare --config {params.config:q}"
            " --field {wildcards.field:q} --span {params.spans:q} 2>&1 | tee {log:q}"
