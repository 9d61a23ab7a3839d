"""Batches of crops, prepared ahead of the step."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

from rgru_train.crops import Crops

_THREADS = 2
_AHEAD = 8
"""Batches that are drawn before they are asked for."""


def batches(
    crops: Crops, first_step: int, last_step: int, part: range | None = None
) -> Generator[tf.Tensor, None, None]:
    """Yield (B, side, side, 3) uint8 for steps ``first_step`` to ``last_step - 1``.

    Whoever stops before the end closes the iterator, or lets go of it: no thread outlives it,
    so that none keeps a stopped run from ending. ``part`` says which crops of each batch.
    """
    pool = ThreadPoolExecutor(_THREADS)
    try:
        waiting = deque(
            pool.submit(crops.draw, step, part)
            for step in range(first_step, min(first_step + _AHEAD, last_step))
        )
        for step in range(first_step, last_step):
            batch = waiting.popleft().result()
            if step + _AHEAD < last_step:
                waiting.append(pool.submit(crops.draw, step + _AHEAD, part))
            yield tf.constant(batch)
    finally:
        pool.shutdown(cancel_futures=True)
