"""What carries networks out: LiteRT where it can be had, numpy everywhere else.

Engines take windows of a picture: sources fill the inputs for a window, outputs are read before
the next one.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Protocol

from rgru_codec.processes import cores
from rgru_codec.runtime.networks import Network
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.weights import Array

Source = Callable[[Rect, Array], None]
"""Fills an input of a network, (1, h, w, C), for a window."""

_KEPT_PIXELS = 2**19
"""Engines whose window is larger are not kept: their working memory is better given back."""


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
if hasattr(os, "register_at_fork"):  # an engine's threads do not follow into a forked process
    os.register_at_fork(after_in_child=_idle.clear)


@contextlib.contextmanager
def borrow(network: Network, threads: int | None = None, key: Hashable = None) -> Iterator[Engine]:
    """An engine for a while; one that is idle rather than a new one.

    Starting an engine costs as much as decoding a thumbnail: a process that works on many small
    pictures starts each once.

    Args:
        network: what it carries out.
        threads: by default one for each core.
        key: of the model that the network belongs to; None: the engine is not kept.
    """
    maker, threads = _chosen.get() or best_engine(), threads or cores()
    name = (maker, key, network.name, threads)
    engine = _idle.pop(name, None) or maker(network, threads)
    yield engine
    if key is not None and engine.pixels <= _KEPT_PIXELS:
        _idle[name] = engine
