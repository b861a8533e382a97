"""Raw files: one job for each group of fields and levels, and each month."""

for group in GROUPS:

    rule:
        name:
            f"download_{group.name}"
        input:
            state=state_before,
        output:
            raw=[PATHS.raw(field, level, "{span}") for field, level in group.members],
            state=[SOURCE.state_path("{span}")] if SIMULATED else [],
        log:
            LOGS / "download" / group.name / "{span}.log",
        benchmark:
            BENCHMARKS / "download" / group.name / "{span}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(240),
            requests=1,
        params:
            config=resolved_config,
            group=group.name,
        message:
            "Fetch {params.group}, {wildcards.span}"
        shell:
            "OMP_NUM_THREADS={threads} atmorep download --config {params.config:q}"
            " --group {params.group:q} --span {wildcards.span:q} 2>&1 | tee {log:q}"
