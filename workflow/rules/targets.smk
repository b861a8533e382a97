"""Files of targets, span by span, and of static fields: fetched, made, or looked for on disk."""

for target in CONFIG.targets:

    rule:
        name:
            f"download_target_{target}"
        input:
            made_from(target),
        output:
            PATHS.target_raw(target, "{span}"),
        log:
            LOGS / "download-target" / target / "{span}.log",
        benchmark:
            BENCHMARKS / "download-target" / target / "{span}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(480),
            requests=1,
        params:
            config=resolved_config,
            target=target,
        message:
            "Fetch target {params.target}, {wildcards.span}"
        shell:
            "OMP_NUM_THREADS={threads} atmorep download-target --config {params.config:q}"
            " --target {params.target:q} --span {wildcards.span:q} 2>&1 | tee {log:q}"


for static in CONFIG.statics:

    rule:
        name:
            f"download_static_{static}"
        output:
            PATHS.static_raw(static),
        log:
            LOGS / "download-static" / f"{static}.log",
        benchmark:
            BENCHMARKS / "download-static" / f"{static}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(480),
            requests=1,
        params:
            config=resolved_config,
            static=static,
        message:
            "Fetch static field {params.static}"
        shell:
            "OMP_NUM_THREADS={threads} atmorep download-static --config {params.config:q}"
            " --static {params.static:q} 2>&1 | tee {log:q}"


for target in CONFIG.targets:

    rule:
        name:
            f"convert_target_{target}"
        input:
            PATHS.target_raw(target, "{span}"),
        output:
            PATHS.target_part(target, "{span}"),
        log:
            LOGS / "convert-target" / target / "{span}.log",
        benchmark:
            BENCHMARKS / "convert-target" / target / "{span}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=growing(3000),
            runtime=240,
        params:
            config=resolved_config,
            target=target,
        message:
            "Regrid target {params.target}, {wildcards.span}"
        shell:
            "OMP_NUM_THREADS={threads} atmorep convert-target --config {params.config:q}"
            " --target {params.target:q} --span {wildcards.span:q} 2>&1 | tee {log:q}"


for static, target in itertools.product(CONFIG.statics, CONFIG.targets):

    rule:
        name:
            f"static_{static}_on_{target}"
        input:
            PATHS.static_raw(static),
        output:
            PATHS.static(static, target),
        log:
            LOGS / "static" / f"{static}-{target}.log",
        benchmark:
            BENCHMARKS / "static" / f"{static}-{target}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=growing(3000),
            runtime=60,
        params:
            config=resolved_config,
            static=static,
            target=target,
        message:
            "Regrid {params.static} to the grid of {params.target}"
        shell:
            "OMP_NUM_THREADS={threads} atmorep static --config {params.config:q}"
            " --static {params.static:q} --target {params.target:q} 2>&1 | tee {log:q}"
