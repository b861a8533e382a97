"""Scores on the test days, of a model's fields and of a downstream task, against their baselines."""


rule evaluate:
    input:
        models=models_of,
        normalisation=normalisations_of,
        parts=scored_parts,
    output:
        directory(PATHS.model_evaluation("{model}")),
    log:
        LOGS / "evaluate" / "{model}-{identity}.log",
    benchmark:
        BENCHMARKS / "evaluate" / "{model}-{identity}.tsv"
    conda:
        "../../environment.yml"
    threads: side_by_side(EVALUATING)
    resources:
        **a_gpu(),
        mem_mb=growing(8000),
        runtime=2880,
    params:
        config=resolved_config,
    message:
        "Evaluate {wildcards.model}"
    shell:
        "OMP_NUM_THREADS={threads} atmorep evaluate --config {params.config:q}"
        " --model {wildcards.model:q} 2>&1 | tee {log:q}"


for task in CONFIG.target_tasks:

    rule:
        name:
            f"baselines_{task}"
        input:
            read_by_baselines(task),
        output:
            directory(PATHS.baseline(task)),
        log:
            LOGS / "baselines" / f"{PATHS.baseline(task).name}.log",
        benchmark:
            BENCHMARKS / "baselines" / f"{PATHS.baseline(task).name}.tsv"
        conda:
            "../../environment.yml"
        threads: 4
        resources:
            mem_mb=growing(4000),
            runtime=growing(480),
        params:
            config=resolved_config,
            task=task,
        message:
            "Fit the baselines of {params.task}"
        shell:
            "OMP_NUM_THREADS={threads} atmorep baselines --config {params.config:q}"
            " --task {params.task:q} 2>&1 | tee {log:q}"

    rule:
        name:
            f"evaluate_{task}"
        input:
            model=PATHS.finetuned(task),
            baselines=PATHS.baseline(task),
            data=read_by_baselines(task),
            parts=[
                PATHS.part(field, span)
                for field in PATHS.task_fields(task)
                for span in SPANS
            ],
        output:
            directory(PATHS.task_evaluation(task)),
        log:
            LOGS / "evaluate-task" / f"{PATHS.task_evaluation(task).name}.log",
        benchmark:
            BENCHMARKS / "evaluate-task" / f"{PATHS.task_evaluation(task).name}.tsv"
        conda:
            "../../environment.yml"
        threads: side_by_side(len(CONFIG.finetune))
        resources:
            **a_gpu(),
            mem_mb=growing(8000),
            runtime=2880,
        params:
            config=resolved_config,
            task=task,
        message:
            "Evaluate {params.task}"
        shell:
            "OMP_NUM_THREADS={threads} atmorep evaluate-task --config {params.config:q}"
            " --task {params.task:q} 2>&1 | tee {log:q}"


for task in CONFIG.forecast_tasks:

    rule:
        name:
            f"evaluate_{task}"
        input:
            model=PATHS.finetuned(task),
            core=PATHS.core(task),
            parts=[
                PATHS.part(field, span)
                for field in PATHS.task_fields(task)
                for span in SPANS
            ],
        output:
            directory(PATHS.task_evaluation(task)),
        log:
            LOGS / "evaluate-task" / f"{PATHS.task_evaluation(task).name}.log",
        benchmark:
            BENCHMARKS / "evaluate-task" / f"{PATHS.task_evaluation(task).name}.tsv"
        conda:
            "../../environment.yml"
        threads: side_by_side(len(CONFIG.finetune))
        resources:
            **a_gpu(),
            mem_mb=growing(8000),
            runtime=2880,
        params:
            config=resolved_config,
            task=task,
        message:
            "Roll out and evaluate {params.task}"
        shell:
            "OMP_NUM_THREADS={threads} atmorep evaluate-task --config {params.config:q}"
            " --task {params.task:q} 2>&1 | tee {log:q}"
