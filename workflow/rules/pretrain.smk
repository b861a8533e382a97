"""One transformer a field."""


rule pretrain:
    input:
        parts=learning_parts,
        normalisation=normalisation_of,
    output:
        directory(PATHS.model("{field}")),
    log:
        LOGS / "pretrain" / "{field}-{identity}.log",
    benchmark:
        BENCHMARKS / "pretrain" / "{field}-{identity}.tsv"
    conda:
        "../../environment.yml"
    container:
        image_of(CONFIG.training)
    threads: side_by_side(len(FIELDS))
    resources:
        **asked_for(CONFIG.training),
        mem_mb=growing(8000),
        runtime=1440,
    params:
        config=resolved_config,
        launch=launcher(CONFIG.training),
    message:
        "Train the transformer of {wildcards.field}"
    shell:
        "OMP_NUM_THREADS={threads} {params.launch} atmorep pretrain --config {params.config:q}"
        " --field {wildcards.field:q} 2>&1 | tee {log:q}"
