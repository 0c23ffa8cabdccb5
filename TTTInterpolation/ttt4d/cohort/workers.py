"""The workers of a run: processes of joblib's loky, each with its share of the threads and a network of its own.

Each worker process has a thread of this process that hands it one case after the other. So it is known which case was
in the hands of a process that died, and the other workers go on.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time as clock
from collections import deque
from typing import Any, Callable, Deque, Dict, Generator, Optional, Sequence

from ..errors import DeviceError
from .cases import Case
from .results import Plan, Row

# How long to wait before a case that another process computes is asked for again.
POLL_SECONDS = 1.0
ENDED_TWICE = ("The process that computed this case was killed or ran out of memory, twice: give it more memory, run "
               "fewer --jobs, crop the volumes or choose a smaller canvas.")
ENDED_LEARNING = ("The process that learned from all cases was killed or ran out of memory: give it more memory, crop "
                  "the volumes or choose a smaller canvas. The same command goes on after its last pass.")


def computed(cases: Sequence[Case], plan: Plan, jobs: int) -> Generator[Row, None, None]:
    """Compute cases in worker processes; yields the row of each when it has ended, in any order.

    Whatever ends the iteration, the workers end with it. What they leave of a case is removed by `clear_state`.

    Parameters
    ----------
    cases : sequence of Case
        The cases.
    plan : Plan
        What is made of them.
    jobs : int
        How many worker processes.
    """
    waiting, rows = deque(cases), queue.Queue()  # type: ignore[var-annotated]
    count = min(jobs, len(cases))
    workers = [_Worker(plan, jobs) for _ in range(count)]
    threads = [threading.Thread(target=worker.serve, args=(waiting, rows.put), daemon=True) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        for _ in cases:
            row = _next(rows)
            if isinstance(row, BaseException):
                raise row
            yield row
    finally:
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join(5)


def in_worker(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns in a worker process, which ends with it or with this process.

    Raises
    ------
    DeviceError
        The process was killed, or ran out of memory.
    """
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    executor = _one_process(jobs=1)
    try:
        waited = executor.submit(function, *arguments)
        while not waited.done():  # on Windows, Ctrl-C is seen only between two waits
            clock.sleep(0.1)
        return waited.result()
    except TerminatedWorkerError:
        raise DeviceError(ENDED_LEARNING) from None
    finally:
        executor.shutdown(wait=True, kill_workers=True)


def _next(rows: Any) -> Any:
    while True:  # on Windows, Ctrl-C is seen only between two waits
        try:
            return rows.get(timeout=0.5)
        except queue.Empty:
            pass


class _Worker:
    """One worker process, with one case in its hands at a time."""

    def __init__(self, plan: Plan, jobs: int) -> None:
        self._plan, self._jobs = plan, jobs
        self._executor: Any = None
        self._lock = threading.Lock()
        self._stopped = False

    def serve(self, waiting: Deque[Case], put: Callable[[Any], None]) -> None:
        """Take cases until none is left, and put a row for each; of an error, put the error."""
        while not self._stopped:
            try:
                case = waiting.popleft()
            except IndexError:
                return
            try:
                row = self._row(case)
            except BaseException as error:
                put(error)
                return
            if row is not None:
                put(row)
            else:  # another process computes it: its result is waited for, or its claim becomes void
                waiting.append(case)
                clock.sleep(POLL_SECONDS)

    def _row(self, case: Case) -> Optional[Row]:
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        from .one_case import compute

        for smaller in (False, True):
            try:
                return self._process().submit(compute, case, self._plan, smaller).result()
            except TerminatedWorkerError:
                self._end_process()
                if self._stopped:
                    raise
        return self._plan.note_lost(case, ENDED_TWICE)

    def _process(self) -> Any:
        with self._lock:
            if self._executor is None and not self._stopped:
                self._executor = _one_process(self._jobs)
            return self._executor

    def _end_process(self) -> None:
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._stopped = True
        self._end_process()


def _one_process(jobs: int) -> Any:
    """Return an executor with one worker process, one of so many jobs.

    Raises
    ------
    DeviceError
        The system lets processes share nothing.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    try:
        return ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(),), env=_share_of_threads(jobs))
    except OSError as error:  # of the semaphores, which lie in shared memory
        raise DeviceError(f"No worker process can be started, because the system gives no shared memory "
                          f"({error.strerror}): in a container or chroot, mount /dev/shm.") from None


def _share_of_threads(jobs: int) -> Dict[str, str]:
    """Return the variables that give a worker its share of the threads; a number that the user has set stays."""
    from joblib.externals.loky import cpu_count

    processors = int(os.environ.get("SLURM_CPUS_PER_TASK") or cpu_count())
    share = os.environ.get("OMP_NUM_THREADS") or str(max(1, processors // jobs))
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                          "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), share)


def _begin(parent: int) -> None:
    """Begin a worker process. It ends when its parent ends it or is gone; Ctrl-C and the like are for the parent."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"):  # the last by Slurm, before time is up
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if os.name == "posix":
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        clock.sleep(0.5)
    os._exit(1)
