"""Several devices or machines: the ``tf.distribute`` strategy of a run, read from its environment.

Every worker runs the same program on its own part of each batch. What a step needs of the others
(mean distortions, gradients, rates) passes through ``mean_of_replicas``, so that a run on any
number of workers takes the steps of one process with the same batch.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import tensorflow as tf

from rgru_format import InvalidInput


@dataclasses.dataclass(frozen=True)
class Workers:
    """The strategy, and which worker this process is."""

    strategy: Any
    """A ``tf.distribute.Strategy``."""
    index: int = 0
    count: int = 1

    @property
    def chief(self) -> bool:
        """Whether this process validates and writes checkpoint and log."""
        return self.index == 0

    @property
    def local_replicas(self) -> int:
        """Devices of this process that run the network."""
        return self.strategy.num_replicas_in_sync // self.count

    def part_of(self, batch: int) -> range:
        """Return which crops of a batch this worker draws.

        Raises:
            InvalidInput: the batch cannot be shared out evenly.
        """
        replicas = self.strategy.num_replicas_in_sync
        if batch % replicas:
            raise InvalidInput(f"a batch of {batch} does not divide among {replicas} devices")
        own = batch // self.count
        return range(self.index * own, (self.index + 1) * own)

    def part_of_replica(self, crops: tf.Tensor) -> tf.Tensor:
        """Return, inside ``strategy.run``, the crops (B/n, H, W, 3) of this device."""
        if self.local_replicas == 1:
            return crops
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        own = crops.shape[0] // self.local_replicas
        return tf.reshape(crops, (-1, own, *crops.shape[1:]))[replica % self.local_replicas]


def one_process() -> Workers:
    """Return this process alone, on the device that TensorFlow prefers."""
    return Workers(tf.distribute.get_strategy())


def workers_of_environment() -> Workers:
    """Return several machines if ``TF_CONFIG`` is set, else all local GPUs.

    Must run before anything else of TensorFlow.
    """
    if os.environ.get("TF_CONFIG"):
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        resolver = strategy.cluster_resolver
        count = len(resolver.cluster_spec().as_dict().get("worker", [])) or 1
        return Workers(strategy, resolver.task_id or 0, count)
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return Workers(tf.distribute.MirroredStrategy())
    return one_process()


def mean_of_replicas(values: Any) -> Any:
    """Return the mean over all devices of tensors; gradients pass through.

    Only inside ``strategy.run``.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
