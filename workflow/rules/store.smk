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
        runtime=60,
    params:
        config=resolved_config,
    message:
        "Convert {wildcards.field}, {wildcards.span}"
    shell:
        "OMP_NUM_THREADS={threads} atmorep convert --config {params.config:q}"
        " --field {wildcards.field:q} --span {wildcards.span:q} 2>&1 | tee {log:q}"


rule verify:
    input:
        raw=raw_of,
        part=PATHS.part("{field}", "{span}"),
    output:
        PATHS.verified("{field}", "{span}"),
    log:
        LOGS / "verify" / "{field}" / "{span}.log",
    benchmark:
        BENCHMARKS / "verify" / "{field}" / "{span}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=60,
    params:
        config=resolved_config,
    message:
        "Compare the store with the raw files of {wildcards.field}, {wildcards.span}"
    shell:
        "OMP_NUM_THREADS={threads} atmorep verify --config {params.config:q}"
        " --field {wildcards.field:q} --span {wildcards.span:q} 2>&1 | tee {log:q}"
