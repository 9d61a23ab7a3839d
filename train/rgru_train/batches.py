"""Batches of crops for TensorFlow, prepared ahead of the step."""

from __future__ import annotations

import tensorflow as tf

from rgru_train.crops import Crops


def batches(
    crops: Crops, first_step: int, last_step: int, part: range | None = None
) -> tf.data.Dataset:
    """Return batches for steps ``first_step`` to ``last_step - 1``.

    ``part``: which crops of each batch; by default all.
    """
    side = crops.training.crop
    shape = (len(part or range(crops.training.batch)), side, side, 3)

    def draw(step: tf.Tensor) -> tf.Tensor:
        drawn = tf.numpy_function(lambda step: crops.draw(int(step), part), [step], tf.uint8)
        return tf.ensure_shape(drawn, shape)

    steps = tf.data.Dataset.range(first_step, last_step)
    return steps.map(draw, num_parallel_calls=2, deterministic=True).prefetch(8)
