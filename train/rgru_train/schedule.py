"""What changes from step to step of a run: functions of the configuration and the step alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rgru_train.config import TrainingConfig


def learning_rate_at(training: TrainingConfig, step: int) -> float:
    """Return the learning rate of a step: warm-up, constant, cosine to 1/1000."""
    begin = training.steps * (1.0 - training.decay)
    if step < training.warmup:
        return training.learning_rate * (step + 1) / training.warmup
    if step < begin:
        return training.learning_rate
    part = min((step - begin) / max(training.steps - begin, 1.0), 1.0)
    return training.learning_rate * (0.001 + 0.999 * 0.5 * (1.0 + math.cos(math.pi * part)))


def colour_weight_at(training: TrainingConfig, step: int) -> float:
    """Return the weight of the colour error at a step, linear between its two ends."""
    first, last = training.colour_weight
    return first + (last - first) * min(step / max(training.colour_steps, 1), 1.0)


def price_share_at(training: TrainingConfig, step: int) -> float:
    """Return the share of the full price of rate at a step, 0 to 1."""
    return min(step / training.rate_steps, 1.0) if training.rate_steps else 1.0


def averaged_at(
    training: TrainingConfig, step: Any, steps: int = 1, *, minimum: Callable[..., Any] = min
) -> Any:
    """Return what a running mean keeps of itself after so many steps; at first, their mean.

    A step that is a tensor needs the ``minimum`` of tensors.
    """
    return minimum(training.average, (1.0 + step) / (10.0 + step)) ** steps


def iterations_at(training: TrainingConfig, step: int, most: int) -> int:
    """Return how many of ``most`` iterations a step trains."""
    current = [iterations for begin, iterations in training.curriculum if begin <= step]
    return min(current[-1], most) if current else most
