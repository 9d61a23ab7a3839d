"""Surroundings in which matrix products of integers in floating point are exact and cheap."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """Keep BLAS to one thread, and floating-point flags from the caller.

    The products are too small for several threads, which take longer and the cores of others;
    and a process that is forked while one of them is at work never goes on. Some processors set
    flags in products that are exact (numpy issue 28687): they mean nothing here.
    """
    with _one_thread, np.errstate(all="ignore"):
        reserve()
        yield


@functools.cache
def reserve() -> None:
    """Have OpenBLAS take the 32 MiB that it keeps for products, or raise MemoryError.

    To be called before any product of matrices: where there are none, versions up to numpy 2.0's
    ask for them again and again for ever.
    """
    np.empty(2**25 + 2**16, np.uint8)
    square = np.ones((256, 256), np.float32)  # smaller ones may do without
    np.matmul(square, square)


class _OneThread:
    """One BLAS thread as long as anybody is inside; BLAS knows one number for a whole process."""

    def __init__(self) -> None:
        self._limit: Any = None
        self.forget()

    def forget(self) -> None:
        """Forget who is inside: a process that was forked has none of the threads."""
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limit = _controller().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                _free()  # the thread that set the limit may be another one
                self._limit.restore_original_limits()
                _free()


@functools.cache
def _controller() -> Any:
    return ThreadpoolController()


def _free() -> None:
    """Let any thread set limits: from threadpoolctl 3.8 on, only the one that set the first can."""
    for library in _controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


_one_thread = _OneThread()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_one_thread.forget)
