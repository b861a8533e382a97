"""Scores of one field on the test days, against its baselines."""


rule evaluate:
    input:
        models=models_of,
        normalisation=normalisation_of,
        parts=all_parts,
    output:
        directory(PATHS.evaluation("{field}")),
    log:
        LOGS / "evaluate" / "{field}-{identity}.log",
    benchmark:
        BENCHMARKS / "evaluate" / "{field}-{identity}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        mem_mb=growing(8000),
        runtime=240,
    params:
        config=resolved_config,
    message:
        "Evaluate {wildcards.field}"
    shell:
        "OMP_NUM_THREADS={threads} atmorep evaluate --config {params.config:q}"
        " --field {wildcards.field:q} 2>&1 | tee {log:q}"
