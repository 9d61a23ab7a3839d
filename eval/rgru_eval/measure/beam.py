"""The tasks of ``rgru-eval run`` as an Apache Beam pipeline, for sets too large for one machine.

Needs the extra ``[beam]``.

Workers read the pictures by the paths that ``--images`` gives, so that these must be the same
everywhere. Each writes what it has measured to a file of its own in a folder beside the results.
When the pipeline has ended the rows go into the results and the folder goes away; after a kill the
same command leaves out what the folder holds already.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Generator, Sequence

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from rgru_codec.processes import variables
from rgru_eval.errors import EvalError, in_words
from rgru_eval.measure.tasks import WORKER_ENVIRONMENT, Outcome, Task, run_task


def run_beam(
    tasks: Sequence[Task], folder: str, options: Sequence[str]
) -> Generator[tuple[Task, Outcome], None, None]:
    """Run tasks in a pipeline, then yield them with what they gave.

    Workers must reach the folder, for what has been measured, by this name.
    """
    left = [task for task in tasks if not FileSystems.exists(_place(task, folder))]
    if not FileSystems.exists(folder):
        FileSystems.mkdirs(folder)
    try:
        with variables(WORKER_ENVIRONMENT):
            settings = PipelineOptions(list(options), save_main_session=False)
            pipeline = beam.Pipeline(options=settings)
            _ = pipeline | beam.Create(left) | beam.Reshuffle() | beam.Map(_work, folder)
            pipeline.run().wait_until_finish()
    except Exception as error:  # of any runner
        raise EvalError(f"--beam: the pipeline failed: {in_words(error)}") from error
    for task in tasks:
        with FileSystems.open(_place(task, folder)) as file:
            found = json.loads(file.read())
        yield task, Outcome(task, found["rows"], found["problems"])
    FileSystems.delete([folder])


def _place(task: Task, folder: str) -> str:
    name = hashlib.sha256(repr(task).encode()).hexdigest()[:32]
    return f"{folder}/{name}.json"


def _work(task: Task, folder: str) -> None:
    """Measure and write, under another name first: a runner may try a task twice."""
    outcome = run_task(task)
    text = json.dumps({"rows": outcome.rows, "problems": outcome.problems})
    path = f"{folder}/{uuid.uuid4().hex}.part"
    with FileSystems.create(path, "application/octet-stream") as file:
        file.write(text.encode())
    FileSystems.rename([path], [_place(task, folder)])
