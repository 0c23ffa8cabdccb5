"""A cohort as a job array of Slurm, by `submitit`: submitted, waited for, and submitted again where tasks were lost.

Each task is a part of the cohort. It goes on where it was when Slurm starts it again: after its time was up, or because
another job took its place.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time as clock
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence

from ..errors import InstallationError, SettingsError
from .results import STATE

# Asked for where the user does not choose: minutes that a task may take before it is started again.
MINUTES = 60
# How often a task may be started again because its time was up.
RESTARTS = 1000
TASKS = 64
POLL_SECONDS = 2.0


@dataclass(frozen=True)
class SlurmOptions:
    """What `--slurm` says.

    Parameters
    ----------
    tasks : int, optional
        Tasks of the array. None takes one for each case, up to `TASKS`.
    wait : bool
        Whether to wait for the end of the array.
    sbatch : dict
        Everything else, for submitit where it knows the name, else for sbatch.

    Examples
    --------
    >>> SlurmOptions.parse(["tasks=4", "wait=no", "partition=gpu", "time=30"])
    SlurmOptions(tasks=4, wait=False, sbatch={'partition': 'gpu', 'time': 30})
    """

    tasks: Optional[int]
    wait: bool
    sbatch: Dict[str, Any]

    @classmethod
    def parse(cls, words: Sequence[str]) -> SlurmOptions:
        """Return the options of words KEY=VALUE, or raise SettingsError."""
        values: Dict[str, Any] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not key or not equals:
                raise SettingsError(f"--slurm takes KEY=VALUE, not '{word}': write it as in partition=gpu.")
            values[key.lstrip("-").replace("-", "_")] = int(value) if value.isdigit() else value
        tasks, wait = values.pop("tasks", None), values.pop("wait", "yes")
        if wait not in ("yes", "no"):
            raise SettingsError(f"wait is '{wait}': choose yes or no.")
        if tasks is not None and (not isinstance(tasks, int) or tasks < 1):
            raise SettingsError(f"tasks is '{tasks}': give 1 or more.")
        return cls(tasks, wait == "yes", values)

    def count(self, cases: int) -> int:
        """Return how many tasks the array has for so many cases."""
        return max(1, min(cases, self.tasks or TASKS))


class Task:
    """One task of the array, as it is carried to the node and started there: submitit calls it.

    Parameters
    ----------
    run : callable
        Computes a part; it must be importable on the node.
    arguments : object
        Its one argument.
    """

    def __init__(self, run: Callable[[Any], Any], arguments: Any) -> None:
        self._run, self._arguments = run, arguments

    def __call__(self) -> Any:
        """Compute the part."""
        # submitit lets SIGTERM pass by; here it ends the workers and gives their claims free before Slurm kills all.
        signal.signal(signal.SIGTERM, _interrupt)
        return self._run(self._arguments)

    def checkpoint(self) -> Any:
        """Return what to start again when Slurm has taken the node away: the same, which skips what is done."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _interrupt(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def submit(tasks: Sequence[Task], folder: str, options: SlurmOptions, cpus: int) -> str:
    """Submit the tasks as one array, and return its number.

    Parameters
    ----------
    tasks : sequence of Task
        The tasks.
    folder : str
        The folder of results, on a disk that all nodes share.
    options : SlurmOptions
        For submitit and sbatch.
    cpus : int
        Processors of each task where the options do not say.

    Raises
    ------
    InstallationError
        submitit is not installed, or there is no Slurm.
    SettingsError
        Slurm refuses the options.
    """
    try:
        import submitit
        from submitit.slurm.slurm import SlurmExecutor
    except ImportError:
        raise InstallationError("--slurm needs the package submitit: pip install 'ttt4d[cluster]'.") from None
    try:
        executor = SlurmExecutor(log_folder(folder), max_num_timeout=RESTARTS)
    except RuntimeError:  # it finds no srun
        raise InstallationError("There is no Slurm on this computer: run the command where sbatch is.") from None
    given = {"job_name": "ttt4d", "time": MINUTES, "cpus_per_task": cpus, "array_parallelism": len(tasks),
             "stderr_to_stdout": True, **options.sbatch}
    known = SlurmExecutor._valid_parameters()
    try:
        executor.update_parameters(**{name: value for name, value in given.items() if name in known},
                                   additional_parameters={n: value for n, value in given.items() if n not in known})
        with executor.batch():
            jobs = [executor.submit(task) for task in tasks]
        return jobs[0].job_id.split("_")[0]
    except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError, ValueError) as error:
        raise SettingsError(f"Slurm does not take the job: {_last_line(error)}") from None


def wait(array: str) -> None:
    """Return when no task of an array waits or runs any more."""
    while _in_queue(array):
        clock.sleep(POLL_SECONDS)


def cancel(array: str) -> None:
    """Take an array out of the queue, and end what runs of it."""
    subprocess.run(["scancel", array], stderr=subprocess.DEVNULL)


def log_folder(folder: str) -> str:
    """Return where the tasks' logs are."""
    return os.path.join(os.path.abspath(folder), STATE, "slurm")


def _in_queue(array: str) -> List[str]:
    found = subprocess.run(["squeue", "--noheader", "--jobs", array, "--format", "%T"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
    if found.returncode and "Invalid job id" not in found.stderr:  # the controller is busy: ask again
        return ["UNKNOWN"]
    return found.stdout.split()


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
