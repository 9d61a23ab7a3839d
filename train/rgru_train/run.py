"""A training run from its first step to its last, or to a stop: input, log, checkpoints.

The folder of a run holds ``config.json``, ``data.json``, checkpoints (see
``rgru_train.state``), ``log.jsonl`` and TensorBoard ``events``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from rgru_codec.files import write_file
from rgru_codec.processes import cores
from rgru_format import InvalidInput
from rgru_train import schedule, state
from rgru_train.batches import batches
from rgru_train.config import RunConfig
from rgru_train.crops import Crops
from rgru_train.log import Log, machine_rate, progress
from rgru_train.nets.cost import cost_of
from rgru_train.objective import Model
from rgru_train.photos import find_photos, summary
from rgru_train.starting import starting_state
from rgru_train.trainer import Trainer
from rgru_train.validation import Validator, validation_samples
from rgru_train.workers import Workers, workers_of_environment


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line says beside the configuration."""

    data: Path
    out: Path
    resume: bool = False
    init_from: str | None = None
    """A run's folder, a packed state, a model package, or the name of an installed model."""
    steps: int | None = None
    """Stop, with a checkpoint, at this step."""


def train(config: RunConfig, options: Options) -> None:
    """Run or resume; return at the last step or after SIGTERM or Ctrl-C, with a checkpoint.

    Raises:
        InvalidInput: what is given does not fit together; says what.
    """
    training = config.training
    _share_cores(training.branches)
    workers = workers_of_environment()
    photos, held_out = find_photos(options.data)
    if workers.chief:
        counts = f"{len(photos)} photos, {len(held_out)} held out"
        print(f"config {config.digest}: {counts}; building the network", flush=True)
    trainer = _begin(config, options, workers)
    crops = Crops(photos, training)
    samples = []
    log = None
    if workers.chief:
        data = json.dumps(summary(options.data, photos, held_out), indent=1)
        write_file(options.out / "data.json", data.encode())
        samples = validation_samples(held_out, training, trainer.model.codec.stride)
        log = Log(options.out, config.digest)
        print(f"step {trainer.step} of {training.steps}; the first one takes longest", flush=True)
    _Loop(trainer, crops, Validator(trainer.model, samples), log).run(options.steps)


def _share_cores(branches: int) -> None:
    """Let each branch of a step have its share of the cores, and all run at once."""
    if branches > 1:
        threading = tf.config.threading
        threading.set_intra_op_parallelism_threads(max(cores() // branches, 1))
        threading.set_inter_op_parallelism_threads(branches)


def evaluate(run: Path, data: Path) -> dict[str, Any]:
    """Validate a run's newest checkpoint on a folder of photos; return the row."""
    trainer = Trainer.of_run(run)
    _, held_out = find_photos(data)
    training, network = trainer.config.training, trainer.config.network
    samples = validation_samples(held_out, training, trainer.model.codec.stride)
    if not samples:
        raise InvalidInput(f"{data}: no photo is held out, or none is large enough")
    row, _ = Validator(trainer.model, samples).run(network.iterations)
    return {"step": trainer.step, **row}


def average(runs: Sequence[Path], out: Path) -> None:
    """Write a run that goes on from the mean of the newest checkpoints of others.

    Raises:
        InvalidInput: one is no run, the runs do not fit together, or ``out`` exists.
    """
    config = RunConfig.of_run(runs[0]).as_json()
    state.make_run(out, config, state.mean([state.load(run) for run in runs]))
    if (runs[0] / "data.json").exists():
        shutil.copy(runs[0] / "data.json", out)


def _begin(config: RunConfig, options: Options, workers: Workers) -> Trainer:
    """A trainer with its weights; the run's folder holds configuration and a checkpoint."""
    folder = options.out
    if state.is_run(folder) and not options.resume:
        raise InvalidInput(f"{folder} holds a run: continue it with --resume, or name another")
    trainer = Trainer(config, folder, workers)
    if options.resume:
        trainer.restore()
        if workers.chief:
            print(f"resumed {folder} at step {trainer.step}", flush=True)
        before = RunConfig.of_run(folder)
        for line in before.differences(config) if workers.chief else []:
            print(f"resumed with another configuration: {line}", flush=True)
    elif options.init_from:
        afresh = trainer.start_from(starting_state(options.init_from))
        if afresh and workers.chief:
            print(f"{len(afresh)} weights start afresh: {', '.join(afresh)}", flush=True)
    if workers.chief:
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / "config.json", config.as_json().encode())
        if not options.resume:
            trainer.save()  # a kill before the first regular one leaves a run to resume, too
    return trainer


class _Loop:
    """The steps of a run with what happens between them."""

    def __init__(
        self, trainer: Trainer, crops: Crops, validator: Validator, log: Log | None
    ) -> None:
        self.trainer, self.crops, self.validator, self.log = trainer, crops, validator, log
        self.training = trainer.config.training
        self.machine = machine_rate(trainer.config.training.branches) if log else 0.0
        self.cost = cost_of(trainer.config.network)
        self.waited, self.since, self.rows = 0.0, time.perf_counter(), 0
        self.saved = self.before = time.monotonic()

    def run(self, steps: int | None) -> None:
        """Train up to step ``steps`` or the end of the run."""
        trainer, training = self.trainer, self.training
        last = training.steps if steps is None else min(steps, training.steps)
        part = trainer.workers.part_of(training.batch)
        following = batches(self.crops, trainer.step, last, part)
        with contextlib.closing(following), _stop_signals() as stops:
            while trainer.step < last:
                begin = time.perf_counter()
                batch = next(following)
                self.waited += time.perf_counter() - begin
                row = trainer.train_step(batch, bool(stops))
                self._after_step(row, trainer.step == last)
                if trainer.stopping:
                    return

    def _after_step(self, row: dict[str, Any], last: bool) -> None:
        """Log, save and validate when it is time to; the chief's work."""
        if self.log is None:
            return
        trainer, training, step = self.trainer, self.training, self.trainer.step
        if step % training.log_every == 0:
            self._log_step(row, self.log)
        due = step % training.validate_every == 0 or last
        if self._save_is_due() or due or trainer.stopping:
            trainer.save()
            self.saved = time.monotonic()
        if due and not trainer.stopping and self.validator.samples:
            self._validate(self.log)
            self.waited, self.since = 0.0, time.perf_counter()

    def _save_is_due(self) -> bool:
        """Whether a kill within the next step would lose more than it may."""
        now = time.monotonic()
        step, self.before = now - self.before, now
        return now - self.saved + step >= 60.0 * self.training.save_minutes

    def _log_step(self, row: dict[str, Any], log: Log) -> None:
        training, count = self.training, self.training.log_every
        seconds = (time.perf_counter() - self.since) / count
        macs = self.cost.training_step(training.batch, training.crop, len(row["bpp"]))
        row["seconds"], row["wait"] = round(seconds, 4), round(self.waited / count, 4)
        row["share"] = round(macs / seconds / self.machine, 4)
        self.waited, self.since = 0.0, time.perf_counter()
        log.write("train", row)
        self.rows += 1
        if self.rows % 5 == 0:
            print(progress(row, training.steps), flush=True)

    def _validate(self, log: Log) -> None:
        trainer = self.trainer
        most = trainer.config.network.iterations
        iterations = schedule.iterations_at(self.training, trainer.step - 1, most)
        weights = trainer.use_averages()
        row, pictures = self.validator.run(iterations)
        trainer.use_weights(weights)
        log.write("validation", {"step": trainer.step, **row})
        log.pictures(trainer.step, pictures)
        trainer.save_best(row["score"])
        print(f"validation at step {trainer.step}: {json.dumps(row)}", flush=True)


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """The signals to stop that have come so far; they no longer end the process at once."""
    received: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(n, lambda number, frame: received.append(number)) for n in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def network_rows(config: RunConfig) -> dict[str, Any]:
    """Return what ``rgru-train describe`` prints: costs, sizes and the hash of a configuration."""
    model, cost = Model(config), cost_of(config.network)
    parameters = sum(int(tf.size(v)) for v in model.codec.trainable_variables)
    context = sum(int(tf.size(v)) for v in model.context.trainable_variables)
    training, iterations = config.training, config.network.iterations
    step = cost.training_step(training.batch, training.crop, iterations)
    return {
        "config": config.digest,
        "kMAC/px an iteration, encoding": round(cost.encode / 1e3, 2),
        "kMAC/px an iteration, decoder": round(cost.decoder / 1e3, 2),
        "kMAC/px a picture, head or painter": round(cost.painter / 1e3, 2),
        "kMAC/px to decode three layers": round(cost.decode(min(3, iterations)) / 1e3, 1),
        "kMAC/px to decode all": round(cost.decode(iterations) / 1e3, 1),
        "kMAC/px an iteration, context model": round(cost.context / 1e3, 2),
        "GMAC a training step": round(step / 1e9, 1),
        "parameters of the networks": parameters,
        "parameters of the context model": context,
        "megabytes in a package, about": round(2 * (parameters + context) / 1e6, 1),
    }
