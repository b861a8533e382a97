"""Downstream tasks: a head on the pretrained model predicts a target, or the model is trained on."""

for task in CONFIG.finetune:

    rule:
        name:
            f"finetune_{task}"
        input:
            core=core_of(task),
            parts=[
                part for f in PATHS.task_fields(task) for part in learning_parts_of(f)
            ],
            normalisations=[PATHS.normalisation(f) for f in PATHS.task_fields(task)],
            target=target_parts_of(task),
            statics=statics_of(task),
        output:
            directory(PATHS.finetuned(task)),
        log:
            LOGS / "finetune" / f"{PATHS.finetuned(task).name}.log",
        benchmark:
            BENCHMARKS / "finetune" / f"{PATHS.finetuned(task).name}.tsv"
        conda:
            "../../environment.yml"
        container:
            image_of(training_of(task))
        threads: side_by_side(EVALUATING)
        resources:
            **asked_for(training_of(task)),
            mem_mb=growing(16000),
            runtime=1440,
        params:
            config=resolved_config,
            launch=launcher(training_of(task)),
            task=task,
        message:
            "Fine-tune for {params.task}"
        shell:
            "OMP_NUM_THREADS={threads} {params.launch} atmorep finetune --config {params.config:q}"
            " --task {params.task:q} 2>&1 | tee {log:q}"
