"""The validated configuration and what the rules ask of it."""

import itertools
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

from atmorep import container as containers
from atmorep.config import parse as validated  # Snakemake has a parse() of its own
from atmorep.errors import AtmoRepError, ConfigError, CredentialsError, DataError
from atmorep.paths import MULTIFORMER, Paths
from atmorep.sources import open_source
from atmorep.targets.source import open_target_source
from atmorep.targets.stage import check_one
from atmorep.timeaxis import Span, data_spans, spans, training_spans


def check_source(source):
    """Ask the source for what is not on disk yet, before the first job and on a dry run too.

    What it does not have at all is refused; a broken file stops the job that reads it, no other.
    Returns why no job can start, though all can be planned: a key is wanted; else nothing.
    """
    raw = (
        PATHS.raw(field, level, span)
        for group in GROUPS
        for field, level in group.members
        for span in SPANS
    )
    if not workflow.is_main_process or all(path.exists() for path in raw):
        return ""
    try:
        source.check()
    except (DataError, CredentialsError) as error:
        logger.warning(str(error))
        return str(error) if isinstance(error, CredentialsError) else ""
    return ""


def check_targets():
    """Ask the sources of targets and static fields for what is not on disk yet, likewise."""
    if not workflow.is_main_process:
        return
    for name in (*CONFIG.targets, *CONFIG.statics):
        spans = SPANS if name in CONFIG.targets else []
        raw = [PATHS.target_raw(name, span) for span in spans] or [
            PATHS.static_raw(name)
        ]
        if not all(path.exists() for path in raw):
            check_one(CONFIG, name)


def prepare_container(image):
    """Show the image what it needs; refuse what Snakemake passes over in silence, to run on the host."""
    wanted = (
        DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
    )
    if image and not wanted:
        raise ConfigError(
            f"container = {image}: every job would run on the host; add --sdm apptainer, or remove the key"
        )
    if wanted and not image:
        raise ConfigError(
            "--sdm apptainer: no image is configured, every job would run on the host; "
            "add --config container=FILE.sif (docs/containers.md)"
        )
    if image and "://" not in image and not Path(image).is_file():
        raise ConfigError(
            f"container = {image}: no such file; make images builds one (docs/containers.md)"
        )
    if image:
        os.environ.update(containers.environment(CONFIG, os.environ))


try:
    CONFIG = validated(config)
    prepare_container(CONFIG.container)
    SOURCE = open_source(CONFIG)
    PATHS = Paths(CONFIG)
    GROUPS = SOURCE.groups()
    SPANS = data_spans(CONFIG.data)
    TRAINING_SPANS = training_spans(CONFIG.data)
    NO_KEY = check_source(SOURCE)
    check_targets()
except AtmoRepError as error:
    raise WorkflowError(str(error)) from None

# Rules call `atmorep`: found as well where Snakemake runs from an environment that nobody activated.
os.environ.update(
    PATH=os.pathsep.join([*os.get_exec_path(), str(Path(sys.executable).parent)])
)

FIELDS = tuple(CONFIG.fields)
PERIODS = CONFIG.data.periods
COUPLING = CONFIG.coupling.training or CONFIG.training
YEARS = sorted({span.start.year for span in SPANS})
TRAINING_YEARS = sorted({span.start.year for span in TRAINING_SPANS})
SIMULATED = CONFIG.source.kind == "simulated"
# jobs that wait for trained models and for nothing else
EVALUATING = len(PATHS.evaluated) + len(CONFIG.finetune)
LOGS = Path("logs") / CONFIG.experiment
BENCHMARKS = PATHS.results / "benchmarks"


wildcard_constraints:
    field="|".join(FIELDS),
    model="|".join(PATHS.evaluated),
    span=r"\d{4}-\d{2}(-\d{2}_\d{4}-\d{2}-\d{2})?",
    kind="global|local",
    identity="[0-9a-f]{10}",


def resolved_config(wildcards, output):
    """Path of the configuration that the stages read.

    It depends on the experiment's name, which must not make a shared artefact anew: Snakemake does
    not track parameters derived from `output`. What does determine an artefact is in its path.
    """
    return PATHS.resolved_config


def state_before(wildcards):
    """Where a simulation goes on from: what the span before left; nothing for other sources."""
    span = Span.parse(wildcards.span)
    before = SOURCE.previous(span) if SIMULATED else None
    return [] if before is None else SOURCE.state_path(before)


def made_from(target):
    """Raw files of the simulation that a simulated target is made from; nothing for other sources."""
    if CONFIG.targets[target].source.kind != "simulated":
        return []
    source = open_target_source(CONFIG, target)
    return lambda wildcards: source.raw(Span.parse(wildcards.span))


def raw_of(wildcards):
    """Raw files of all levels of a field in the store."""
    levels = CONFIG.store_levels(wildcards.field)
    return [PATHS.raw(wildcards.field, level, wildcards.span) for level in levels]


def raw_of_year(year):
    """Raw files of all levels of a field and of all spans of a year."""

    def raw(wildcards):
        levels = CONFIG.store_levels(wildcards.field)
        return [
            PATHS.raw(wildcards.field, level, span)
            for level in levels
            for span in of_year(SPANS, year)
        ]

    return raw


def of_year(several, year):
    """Spans of a year."""
    return [span for span in several if span.start.year == year]


def around(span):
    """The span of the data that holds a span of training days."""
    return next(s for s in SPANS if s.start <= span.start and span.end <= s.end)


def learning_spans():
    """Spans of the data that hold days of training and validation."""
    months = {str(span)[:7] for span in spans((*PERIODS.train, *PERIODS.validation))}
    return [span for span in SPANS if str(span)[:7] in months]


def learning_parts_of(field):
    """Parts of a field that training and validation read."""
    return [PATHS.part(field, span) for span in learning_spans()]


def learning_parts(wildcards):
    """Parts that the pretraining of a field reads."""
    return learning_parts_of(wildcards.field)


def scored_parts(wildcards):
    """Parts that evaluation reads: test days, and training days for the climatology."""
    seen = FIELDS if wildcards.model == MULTIFORMER else (wildcards.model,)
    return [PATHS.part(field, span) for field in seen for span in SPANS]


def sums_of(wildcards):
    """Partial sums of all training days."""
    return [PATHS.sums(wildcards.field, span) for span in TRAINING_SPANS]


def normalisation_of(wildcards):
    """Monthly mean and standard deviation of a field."""
    return PATHS.normalisation(wildcards.field)


def normalisations_of(wildcards):
    """Monthly mean and standard deviation of the fields that a model predicts."""
    return [PATHS.normalisation(field) for field in PATHS.evaluated[wildcards.model]]


def models_of(wildcards):
    """Bundles that are scored beside each other: a model, and those of its fields alone."""
    fields = PATHS.evaluated[wildcards.model]
    return sorted({model for field in fields for model in PATHS.models(field)})


def core_of(task):
    """Bundle that a task starts from, if from any."""
    return [] if CONFIG.finetune[task].core == "scratch" else PATHS.core(task)


def target_parts_of(task):
    """Parts of a task's target that training and validation read; a forecast has none."""
    if CONFIG.finetune[task].kind != "target":
        return []
    target = CONFIG.finetune[task].target
    return [PATHS.target_part(target, span) for span in learning_spans()]


def statics_of(task):
    """Static fields that the head of a task is given."""
    what = CONFIG.finetune[task]
    names = what.statics if what.kind == "target" else ()
    return [PATHS.static(name, what.target) for name in names]


def read_by_baselines(task):
    """What the baselines of a downstream task read: fields, their normalisation, target and statics."""
    what = CONFIG.target_task(task)
    fields = dict.fromkeys((what.guess.field, *CONFIG.tokens_read(what)))
    return [
        *(PATHS.part(field, span) for field in fields for span in SPANS),
        *(PATHS.normalisation(field) for field in fields),
        *(PATHS.target_part(what.target, span) for span in SPANS),
        *statics_of(task),
    ]


def growing(amount):
    """Memory or time that grows with each attempt, up to the fourth."""
    return lambda wildcards, attempt: amount * min(attempt, 4)


def side_by_side(jobs):
    """Cores of one of ``jobs`` that need not wait for each other: its share of a local machine.

    Two small networks on a core each are done sooner than one after the other on both. The number of cores
    is asked for late: `snakemake --unlock` and the like are given none.
    """
    return lambda wildcards: max(1, workflow.cores // jobs) if workflow.cores else 8


def training_of(task):
    """Settings of the training of a downstream task."""
    return CONFIG.finetune[task].training or CONFIG.training


def asked_for(training):
    """What a cluster is asked for by a training: machines, GPUs, a process for each, and a warning.

    Two minutes before the time limit it saves its state and ends; the retry goes on.
    """
    asked = {"nodes": training.nodes, "slurm_extra": "--signal=TERM@120"}
    if training.gpus:
        asked |= {"gres": f"gpu:{training.gpus}", "tasks_per_gpu": 0}
    if training.ranks > 1:
        asked |= {"mpi": "srun", "tasks": training.ranks}
    return asked


def a_gpu():
    """What a cluster is asked for by an evaluation: a GPU, where trainings have any."""
    return {"gres": "gpu:1", "tasks_per_gpu": 0} if CONFIG.training.gpus else {}


def launcher(training):
    """What starts the processes of a training within a Slurm job; elsewhere, and for one, nothing.

    Derived from `output`, so that Snakemake does not track it: the outcome does not depend on it.
    """
    if training.ranks == 1:
        return lambda wildcards, output: ""
    processes = f"--nodes={training.nodes} --ntasks-per-node={training.gpus or 1}"
    srun = f"${{SLURM_JOB_ID:+srun --kill-on-bad-exit=1 {processes}}}"
    arguments = workflow.deployment_settings.apptainer_args
    within = containers.command(CONFIG.container, arguments) if CONFIG.container else ""
    return lambda wildcards, output: f"{srun} {within}"


def image_of(training):
    """Image that a training runs in by Snakemake; none where `launcher` starts it in each process."""
    return CONFIG.container if training.ranks == 1 else None
