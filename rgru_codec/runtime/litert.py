"""LiteRT behind one small class: arrays in, arrays out, in windows of bounded size.

Inputs and outputs are (1, H, W, C) float32. A network's output at a place depends on inputs no
further than its reach, so that a picture can be worked through in windows that overlap by the
reach: the result is that of one pass over the whole picture, and memory is bounded by the window.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgru_codec.models import Model, StepShape

Array = NDArray[np.float32]

WINDOW = 1024
"""Side of a window in pixels, without its border; a multiple of every stride."""


def default_threads() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Network:
    """One network of a model package.

    Not safe for use from several threads at once; make one for each.
    """

    def __init__(self, model: Model, name: str, threads: int | None = None) -> None:
        with _quiet():
            from ai_edge_litert.interpreter import Interpreter

            self._interpreter: Any = Interpreter(
                str(model.folder / f"{name}.tflite"), num_threads=threads or default_threads()
            )
        self.shape: StepShape = model.steps[name]
        self._align = model.stride
        inputs = self._interpreter.get_input_details()
        self._inputs = [d["index"] for d in sorted(inputs, key=lambda d: d["name"])]
        self._outputs = [d["index"] for d in self._interpreter.get_output_details()]
        self._size: tuple[int, int] | None = None

    def run(self, inputs: Sequence[Array], height: int, width: int) -> list[Array]:
        """One step over a whole picture.

        Args:
            inputs: arrays (1, height/s, width/s, C) as ``shape.inputs`` lists them.
            height: of the padded picture in pixels, a multiple of the stride.
            width: likewise.

        Returns:
            Arrays as ``shape.outputs`` lists them.
        """
        rows = list(self._windows(height))
        columns = list(self._windows(width))
        if len(rows) == len(columns) == 1:
            return self._invoke(inputs, height, width)
        outputs = [
            np.empty((1, height // s, width // s, c), np.float32) for s, c in self.shape.outputs
        ]
        for top, bottom, first, last in rows:
            for left, right, start, stop in columns:
                parts = [
                    x[:, first // s : last // s, start // s : stop // s]
                    for x, (s, _) in zip(inputs, self.shape.inputs, strict=True)
                ]
                results = self._invoke(parts, last - first, stop - start)
                for whole, part, (s, _) in zip(outputs, results, self.shape.outputs, strict=True):
                    whole[:, top // s : bottom // s, left // s : right // s] = part[
                        :,
                        (top - first) // s : (bottom - first) // s,
                        (left - start) // s : (right - start) // s,
                    ]
        return outputs

    def _windows(self, side: int) -> Iterator[tuple[int, int, int, int]]:
        """(begin, end, begin with border, end with border) along one side, in pixels."""
        border = -(-self.shape.reach // self._align) * self._align
        for begin in range(0, side, WINDOW):
            end = min(begin + WINDOW, side)
            yield begin, end, max(begin - border, 0), min(end + border, side)

    def _invoke(self, inputs: Sequence[Array], height: int, width: int) -> list[Array]:
        interpreter = self._interpreter
        if self._size != (height, width):
            for index, (s, c) in zip(self._inputs, self.shape.inputs, strict=True):
                interpreter.resize_tensor_input(index, (1, height // s, width // s, c))
            with _quiet():
                interpreter.allocate_tensors()
            self._size = (height, width)
        for index, x in zip(self._inputs, inputs, strict=True):
            interpreter.set_tensor(index, x)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in self._outputs]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the engine's notes at its start off the user's terminal."""
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # there is no standard error to keep clean
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
