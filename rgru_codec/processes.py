"""Cores, work in threads, and in several processes that end with the one that started them.

The pool of processes is not that of ``concurrent.futures``, ``multiprocessing`` or pebble: those
need semaphores, which do not exist where /dev/shm is missing (AWS Lambda, some containers), their
workers sleep for ever when the parent is killed, and the first of them loses all its tasks with one
worker. Here each worker has a pipe of its own and nothing else: it ends when the pipe does, and a
worker that dies takes the one task along that it was working on.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

TERMINATED = 128 + 15
_GRACE_S = 5.0
"""How long a worker may take to tidy up when it is told to end."""


def cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable(threads: int | None) -> int:
    """Return how many threads to use where so many are wanted; None: all that are of use."""
    return min(threads or cores(), cores())


def for_each(function: Callable[[Task], object], items: Iterable[Task], threads: int) -> None:
    """Call a function with each item, in so many threads; it returns when all are done."""
    if threads == 1:
        for item in items:
            function(item)
        return
    with Threads(threads) as pool:
        for _ in pool.map(function, items):
            pass  # errors come up here


class Threads:
    """Threads that work beside the one that is here; ``with`` waits for them.

    Python starts none where there are too many, and once the main one has come to its end, while
    others go on: there the work is done here. Of several threads one that was started before may
    do it once more, so that functions given to more than one must bear to be called twice.
    """

    def __init__(self, count: int) -> None:
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        with contextlib.suppress(RuntimeError, ImportError):  # of its module, at the end
            self._pool = concurrent.futures.ThreadPoolExecutor(count)
        self._refused = False

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(wait=True)

    def close(self, *, wait: bool = False) -> None:
        """Take no more work; give up what has not been begun, or else wait for it."""
        if self._pool is not None:
            self._pool.shutdown(wait=wait, cancel_futures=not wait)

    def begin(
        self, function: Callable[..., Result], *args: object
    ) -> concurrent.futures.Future[Result] | None:
        """Have a thread call a function; None if there is no thread, and from then on."""
        if self._pool is not None and not self._refused:
            try:
                return self._pool.submit(function, *args)
            except RuntimeError:
                self._refused = True
        return None

    def submit(
        self, function: Callable[..., Result], *args: object
    ) -> concurrent.futures.Future[Result]:
        """Have a thread call a function; if there is none, call it now."""
        begun = self.begin(function, *args)
        if begun is None:
            begun = concurrent.futures.Future()
            try:
                begun.set_result(function(*args))
            except Exception as error:
                begun.set_exception(error)
        return begun

    def map(self, function: Callable[[Task], Result], items: Iterable[Task]) -> Iterator[Result]:
        """Yield a function's results for items, all of which have been begun."""
        begun = [self.submit(function, item) for item in items]
        try:
            for one in begun:
                yield one.result()
        finally:
            for one in begun:
                one.cancel()


class WorkerLost(RuntimeError):  # noqa: N818
    """A process died while it worked on a task; the message says how."""


def run_in_processes(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    processes: int,
    *,
    environment: Mapping[str, str] | None = None,
) -> Generator[tuple[Task, Result | Exception], None, None]:
    """Apply a function to tasks in fresh processes.

    Closing the generator early, by Ctrl-C too, ends the workers; so does the end of this process,
    whatever the cause. Workers ignore Ctrl-C themselves; SIGTERM lets them tidy up.

    Args:
        function: a function of a module, since other processes look it up by name.
        tasks: what can be pickled; taken from the iterable as workers become free.
        processes: how many workers there are at most.
        environment: variables for the workers, set before they load anything.

    Yields:
        Each task with its result as they finish: what the function returned or the exception that
        it raised, ``WorkerLost`` if its process died.

    Raises:
        OSError: no process can be started.
    """
    from multiprocessing.connection import wait

    left = iter(tasks)
    workers: dict[Any, tuple[_Worker, Task]] = {}
    spare: list[_Worker] = []
    try:
        while True:
            while len(workers) < processes:
                try:
                    task = next(left)
                except StopIteration:
                    break
                worker = spare.pop() if spare else _Worker(function, environment or {})
                worker.give(task)
                workers[worker.pipe] = (worker, task)
            if not workers:
                return
            for pipe in wait(list(workers)):
                worker, task = workers.pop(pipe)
                result = worker.take()
                if not isinstance(result, WorkerLost):
                    spare.append(worker)
                yield task, result
    finally:
        for worker in (*spare, *(worker for worker, _ in workers.values())):
            worker.end()


class _Worker:
    """A process and this end of its pipe."""

    def __init__(self, function: Callable[[Any], Any], environment: Mapping[str, str]) -> None:
        import multiprocessing

        # Not forked: the inference engine and BLAS have threads that a fork would not take along.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(function, theirs), daemon=True)
        with variables(environment):
            self._process.start()
        theirs.close()  # so that this end sees the other one close

    def give(self, task: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # it is dead: taking the result will tell
            self.pipe.send(task)

    def take(self) -> Any:
        """Return the result of the task, or what ended the process."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.pipe.close()
            self._process.join()
            return WorkerLost(f"the process working on it died ({_ending(self._process.exitcode)})")
        except Exception as error:  # what was sent cannot be made again here
            return error

    def end(self) -> None:
        """Let an idle process go; stop one that is at work."""
        self.pipe.close()
        self._process.terminate()
        self._process.join(_GRACE_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}; out of memory?" if name == "SIGKILL" else name


@contextlib.contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the process that is started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                del os.environ[name]
            else:
                os.environ[name] = old


def _work(function: Callable[[Any], Any], pipe: Any) -> None:
    """Answer tasks until the pipe closes: the life of a worker."""
    import threading

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            result = function(task)
        except Exception as error:
            result = error
        try:
            pipe.send(result)
        except OSError:  # nobody waits for it any more
            return
        except Exception as error:
            pipe.send(RuntimeError(f"{result!r} cannot be sent to another process: {error}"))


def _leave(signum: int, frame: object) -> None:
    raise SystemExit(TERMINATED)  # runs what stands in ``finally``, temporary files above all


def _end_with_parent() -> None:
    """Wait for the parent's end, then end this process in the middle of its task."""
    import multiprocessing
    import time
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(TERMINATED)
