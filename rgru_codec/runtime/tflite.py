"""LiteRT behind one small class.

Inputs and outputs are (1, H, W, C) float32. Nothing is copied between numpy and the engine
except what the caller writes into the engine's inputs and takes out of its outputs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rgru_codec.models import Model
from rgru_codec.old_form import StepShape
from rgru_codec.processes import cores
from rgru_format import InvalidInput
from rgru_format.errors import OutOfMemory

Array = NDArray[np.float32]


class _Sized(Protocol):
    """A window, as far as the engine needs to know it."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


Window = TypeVar("Window", bound=_Sized)


_KEPT_PIXELS = 2**19
"""Networks whose window is larger are not kept: their working memory is better given back."""
_idle: dict[tuple[object, ...], Network] = {}
if hasattr(os, "register_at_fork"):  # an engine's threads do not follow into a forked process
    os.register_at_fork(after_in_child=_idle.clear)


def borrow(owner: object, model: Model, name: str, threads: int | None = None) -> Network:
    """A network for as long as ``owner`` lives; one that is idle rather than a new one.

    Starting a network costs as much as decoding a thumbnail: a process that works on many small
    pictures starts each once.
    """
    threads = min(threads or cores(), cores())
    key = (model.folder, name, threads)
    network = _idle.pop(key, None)
    if network is None:
        network = Network(model, name, threads)
    weakref.finalize(owner, _give_back, key, network).atexit = False
    return network


def _give_back(key: tuple[object, ...], network: Network) -> None:
    if network.pixels <= _KEPT_PIXELS:
        _idle[key] = network


class Network:
    """One network of a model package.

    Not safe for use from several threads at once; make one for each.
    """

    def __init__(self, model: Model, name: str, threads: int | None = None) -> None:
        self._file = model.folder / f"{name}.tflite"
        self._threads = threads or cores()
        assert model.old is not None
        self.shape: StepShape = model.old.steps[name]
        self.unit = model.stride
        """Sides of a window are multiples of it."""
        self._start()

    def _start(self) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise InvalidInput("a model of the old form needs LiteRT") from None

        self._interpreter: Any = Interpreter(str(self._file), num_threads=self._threads)
        inputs = self._interpreter.get_input_details()
        self._inputs = [d["index"] for d in sorted(inputs, key=lambda d: d["name"])]
        self._outputs = [d["index"] for d in self._interpreter.get_output_details()]
        self._size: tuple[int, int] | None = None

    def rest(self) -> None:
        """Give working memory back; the next step takes it anew, for some 100 milliseconds."""
        self._interpreter = self._size = None

    @property
    def pixels(self) -> int:
        """Pixels of the window that was worked on last."""
        height, width = self._size or (0, 0)
        return height * width

    def run(self, inputs: Sequence[Array], height: int, width: int) -> list[Array]:
        """One step over arrays, copied in and out.

        Args:
            inputs: arrays (1, height/s, width/s, C) as ``shape.inputs`` lists them.
            height: of the padded picture in pixels, a multiple of the stride.
            width: likewise.

        Returns:
            Arrays as ``shape.outputs`` lists them.
        """
        self._prepare(height, width)
        for index, x in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, x)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]

    @contextlib.contextmanager
    def step(
        self, sources: Sequence[Callable[[Window, Array], None]], window: Window
    ) -> Iterator[list[Array]]:
        """One step over a window.

        Args:
            sources: for each input, what fills it.
            window: handed to the sources; its size is that of the step.

        Yields:
            The engine's own outputs, to be read before the context ends; no reference to them may
            outlive it.
        """
        try:
            self._prepare(window.height, window.width)
            for index, source in zip(self._inputs, sources, strict=True):
                source(window, self._interpreter.tensor(index)())
            self._interpreter.invoke()
        except (RuntimeError, MemoryError) as error:
            self._size = None
            raise OutOfMemory(f"a window of {window.width}x{window.height} pixels") from error
        results = [self._interpreter.tensor(index)() for index in self._outputs]
        yield results
        results.clear()

    def _prepare(self, height: int, width: int) -> None:
        if self._size == (height, width):
            return
        if self._interpreter is None:
            self._start()
        for index, (s, c) in zip(self._inputs, self.shape.inputs, strict=True):
            self._interpreter.resize_tensor_input(index, (1, height // s, width // s, c))
        with _quiet():
            self._interpreter.allocate_tensors()
        self._size = (height, width)


_first = threading.Lock()
_started = False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the note that the engine makes at the first start off the user's terminal.

    It is made once a process, in C++, on file descriptor 2; later starts touch nothing.
    """
    global _started
    if _started:
        yield
        return
    with _first:
        with contextlib.nullcontext() if _started else _without_stderr():
            yield
        _started = True


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    if sys.stderr is not None:
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
