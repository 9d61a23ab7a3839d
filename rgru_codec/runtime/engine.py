"""What carries networks out: LiteRT where it can be had, numpy everywhere else.

Engines take windows of a picture: sources fill the inputs for a window, outputs are read before
the next one.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Protocol

from rgru_codec.processes import usable
from rgru_codec.runtime.networks import Network
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.weights import Array

Source = Callable[[Rect, Array], None]
"""Fills an input of a network, (1, h, w, C), for a window."""

_SMALL = 2**19
"""Pixels of a window up to which an engine is kept when its work is done."""


class Engine(Protocol):
    """Carries out one network, for one thread at a time."""

    network: Network
    pixels: int
    """Of the window that was worked on last."""

    def step(
        self, sources: Mapping[str, Source], window: Rect
    ) -> AbstractContextManager[Mapping[str, Array]]:
        """One step over a window.

        Args:
            sources: for each input, what fills it.
            window: handed to the sources; its size is that of the step.

        Returns:
            A context that gives the outputs, which are valid inside it only.

        Raises:
            OutOfMemory: the machine has not the memory that the window takes.
        """
        ...


Maker = Callable[[Network, int], Engine]
"""Makes an engine for a network and a number of threads."""


@functools.cache
def best_engine() -> Maker:
    """LiteRT, or numpy where LiteRT cannot be imported (it has no wheel for every system)."""
    try:
        from rgru_codec.runtime.litert import LiteRT
    except (ImportError, OSError):
        from rgru_codec.runtime.reference import Reference

        return Reference
    return LiteRT


_chosen: ContextVar[Maker | None] = ContextVar("engine", default=None)


@contextlib.contextmanager
def using(maker: Maker) -> Iterator[None]:
    """Let engines of this kind do all work meanwhile, in this thread."""
    token = _chosen.set(maker)
    try:
        yield
    finally:
        _chosen.reset(token)


_idle: dict[Hashable, Engine] = {}


class Engines:
    """The engines that work on one picture.

    Starting an engine costs as much as decoding a thumbnail, and its memory has to be found anew.
    Those of small pictures are kept for the next one, whoever needs it; those of larger ones from
    layer to layer.

    Args:
        threads: of each; by default one for each core.
        together: whether several of a larger picture are kept; otherwise they take turns in memory.
    """

    def __init__(self, threads: int | None, *, together: bool) -> None:
        self._threads, self._together = usable(threads), together
        self._kept: dict[type[Network], Engine] = {}

    @contextlib.contextmanager
    def borrow(self, network: Network, model: Hashable) -> Iterator[Engine]:
        """An engine for a while.

        Args:
            network: what it carries out.
            model: tells the networks of one model from those of others.
        """
        maker, role = _chosen.get() or best_engine(), type(network)
        engine = self._kept.pop(role, None)
        if engine is not None and engine.network is not network:
            engine = None
        if not self._together:
            self._kept.clear()
        name = (maker, model, network.name, self._threads)
        engine = engine or _idle.pop(name, None) or maker(network, self._threads)
        yield engine
        if engine.pixels <= _SMALL:
            _idle[name] = engine
        else:
            self._kept[role] = engine
