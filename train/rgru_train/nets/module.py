"""What the networks are made of: objects that hold variables under stable names.

All networks and losses are written in ``keras.ops``, so that the same step runs under each of
Keras's backends (``KERAS_BACKEND``): TensorFlow, and JAX where there is an accelerator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

Tensor: TypeAlias = Any
"""A tensor of the backend; float32 if nothing else is said."""
Initializer: TypeAlias = Callable[..., Tensor]
"""Makes the start of a variable, given its shape and ``dtype``."""

_T = TypeVar("_T")


def split_at(x: Tensor, ends: Sequence[int], axis: int) -> list[Tensor]:
    """Split behind each of some ends; nowhere if there is none, which Keras does not know."""
    return list(ops.split(x, list(ends), axis=axis)) if len(ends) else [x]


def variable(
    start: Any, shape: Sequence[int] = (), *, name: str, trainable: bool = True
) -> keras.Variable:
    """Make a variable that begins as an array, or as an initializer makes one of a shape.

    In a ``keras.StatelessScope`` that initializes nothing it costs nothing: a step under JAX brings
    its values along.
    """
    if isinstance(start, np.ndarray):
        given: NDArray[Any] = start
        start, shape = (lambda _, dtype: ops.convert_to_tensor(given, dtype)), given.shape
    return keras.Variable(start, tuple(shape), "float32", trainable, name=name)


class Module:
    """Holds variables and other modules as attributes, or in lists of them.

    Its variables are kept under its name, below those of the modules that it is made in.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def name_scope(self) -> Any:
        """In it, what is made is named below this module."""
        return keras.name_scope(self.name)

    def held(self, kind: type[_T]) -> list[_T]:
        """List the objects of a kind that this module and all below hold, in order, each once."""
        return list({id(one): one for one in _below(self) if isinstance(one, kind)}.values())

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Variables that training changes, of all modules below too, each once."""
        return [one for one in self.held(keras.Variable) if one.trainable]


def _below(value: Any) -> Iterator[Any]:
    yield value
    inside = vars(value).values() if isinstance(value, Module) else value
    if isinstance(value, Module | list | tuple):
        for one in inside:
            yield from _below(one)
