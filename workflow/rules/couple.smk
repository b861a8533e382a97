"""The Multiformer: all fields, coupled by cross-attention, where the configuration couples any."""


rule couple:
    input:
        models=[PATHS.origin(field) for field in FIELDS],
        parts=lambda wildcards: [part for f in FIELDS for part in learning_parts_of(f)],
        normalisations=[PATHS.normalisation(field) for field in FIELDS],
    output:
        directory(PATHS.multiformer),
    log:
        LOGS / "couple" / f"{PATHS.multiformer.name}.log",
    benchmark:
        BENCHMARKS / "couple" / f"{PATHS.multiformer.name}.tsv"
    conda:
        "../../environment.yml"
    container:
        image_of(COUPLING)
    threads: side_by_side(1)
    resources:
        **asked_for(COUPLING),
        mem_mb=growing(16000),
        runtime=2880,
    params:
        config=resolved_config,
        launch=launcher(COUPLING),
    message:
        "Couple and train {FIELDS}"
    shell:
        "OMP_NUM_THREADS={threads} {params.launch} atmorep couple --config {params.config:q}"
        " 2>&1 | tee {log:q}"
