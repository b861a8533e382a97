"""Monthly mean and standard deviation, merged from partial sums over training days only."""


rule sums:
    input:
        part_around,
    output:
        PATHS.sums("{field}", "{span}"),
    log:
        LOGS / "sums" / "{field}-{kind}" / "{span}.log",
    benchmark:
        BENCHMARKS / "sums" / "{field}-{kind}" / "{span}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=60,
    params:
        config=resolved_config,
    message:
        "Sum up training days of {wildcards.field}, {wildcards.span}"
    shell:
        "OMP_NUM_THREADS={threads} atmorep sums --config {params.config:q}"
        " --field {wildcards.field:q} --span {wildcards.span:q} 2>&1 | tee {log:q}"


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
        runtime=30,
    params:
        config=resolved_config,
    message:
        "Merge the statistics of {wildcards.field}"
    shell:
        "OMP_NUM_THREADS={threads} atmorep statistics --config {params.config:q}"
        " --field {wildcards.field:q} 2>&1 | tee {log:q}"
