"""All scores in one table, and the report."""


rule report:
    input:
        evaluations=[PATHS.model_evaluation(model) for model in PATHS.evaluated],
        models=sorted({model for field in FIELDS for model in PATHS.models(field)}),
        tasks=[
            path
            for task in CONFIG.target_tasks
            for path in (
                PATHS.task_evaluation(task),
                PATHS.baseline(task),
                PATHS.finetuned(task),
            )
        ],
        forecasts=[
            path
            for task in CONFIG.forecast_tasks
            for path in (PATHS.task_evaluation(task), PATHS.finetuned(task))
        ],
        compared=[PATHS.compared(field, span) for field in FIELDS for span in SPANS],
    output:
        metrics=report(
            PATHS.metrics, category="Scores", caption="../report/metrics.rst"
        ),
        report=report(PATHS.report, category="Report", caption="../report/report.rst"),
    log:
        LOGS / "report.log",
    benchmark:
        BENCHMARKS / "report.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        config=resolved_config,
    message:
        "Write {output.report}"
    shell:
        "OMP_NUM_THREADS={threads} atmorep report --config {params.config:q} 2>&1 | tee {log:q}"
