"""The schemes over a cohort: the batches of the adaptation are the patients, in the order of the list.

`naive` learns one set of weights w* from all patients, pass after pass, then every patient is computed with it.
`mini-batch` carries the weights on: w_i = w_(i-1) - lr * gradient of L_g(b_i), and patient i is computed with w_i.
Both end in a weights file, and a case is computed as any other, with that file and without an adaptation of its own.
`online`, where each patient starts from the base weights, needs nothing of this.

References
----------
.. [1] "Test Time Training for 4D Medical Image Interpolation", arXiv:2502.02341: the section on deployment.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import json
import os
import time as clock
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from ..errors import InputError, UserError
from ..images.output_paths import staged, writing
from ..progress import ignore, never
from ..settings import NO_ADAPTATION
from ..through_plane.settings import SliceRunSettings
from .cases import Case
from .claims import CLAIM, claimed
from .results import PART, STATE, Plan, Wanted, as_reported, in_progress

NAIVE, MINI_BATCH = "naive", "mini-batch"
POLL_SECONDS = 1.0


def chain(cases: Sequence[Case], plan: Plan) -> List[str]:
    """Return a key for the weights after each case: it changes with settings, base weights, and the images so far."""
    found = [json.dumps([plan.wanted.settings, plan.wanted.weights])]
    for case in cases:
        found.append(hashlib.sha256((found[-1] + case.digest).encode()).hexdigest()[:16])
    return found[1:]


def with_weights(plan: Plan, path: str) -> Plan:
    """Return the plan of cases that are computed with adapted weights, whose name tells which they are."""
    adaptation = dataclasses.replace(plan.settings.adaptation, auxiliary=NO_ADAPTATION)
    settings = dataclasses.replace(plan.settings, weights=path, adaptation=adaptation)
    return Plan(plan.folder, settings, Wanted(as_reported(settings), slices=plan.wanted.slices), plan.slices)


def naive_plan(cases: Sequence[Case], plan: Plan) -> Plan:
    """Return the plan of `naive` over all cases; its weights are made by `learn_naive`."""
    return with_weights(plan, os.path.join(plan.folder, f"{NAIVE}-{chain(cases, plan)[-1]}.safetensors"))


def learn_naive(cases: Sequence[Case], plan: Plan) -> None:
    """Learn w* from all cases and write it, unless it is there or another process does. An interrupted run goes on.

    Parameters
    ----------
    cases : sequence of Case
        All patients.
    plan : Plan
        With the base weights and the settings of the adaptation.

    Raises
    ------
    InputError
        No case can be read.
    """
    weights = naive_plan(cases, plan).settings.weights
    checkpoint = os.path.join(plan.folder, STATE, f"{Path(weights).stem}.checkpoint")
    while not os.path.isfile(weights):
        with claimed(checkpoint + CLAIM) as mine:
            if mine and not os.path.isfile(weights):  # another process may have ended just now
                with in_progress(checkpoint + PART) as folder:
                    _learn_naive(cases, plan, weights, checkpoint, folder)
        if not mine:
            clock.sleep(POLL_SECONDS)
    with contextlib.suppress(OSError):
        os.remove(checkpoint)


def _learn_naive(cases: Sequence[Case], plan: Plan, weights: str, checkpoint: str, folder: str) -> None:
    import torch

    adaptation = _adaptation(plan)
    patients: Any = Patients(cases, plan)
    if not any(True for _ in patients):
        raise InputError("None of the cases can be read, so nothing can be learned from them: see each by --scheme "
                         "online.")
    state = _read(checkpoint) or {"passes": 0, "expected": adaptation.held_out_loss(patients)}
    if state["passes"]:
        adaptation.restore(state["adaptation"])
    for passes in range(state["passes"], adaptation.iterations):
        for number, batch in patients:
            adaptation.step(number, batch)
        with staged(checkpoint, within=folder) as path, writing(checkpoint):
            torch.save({**state, "passes": passes + 1, "adaptation": adaptation.state()}, str(path))
    adaptation.judge(patients, adaptation.w0, state["expected"])
    with staged(weights, within=folder) as path, writing(weights):
        _write(plan, str(path), adaptation, len(adaptation.accepted))


@dataclass(frozen=True)
class StreamPlan(Plan):
    """The plan of `mini-batch` over a cohort: each case has weights of its own, made of those of the case before it.

    Parameters
    ----------
    cases : tuple of Case
        All cases in their order.
    keys : tuple of str
        Of the weights after each case; see `chain`.
    """

    cases: Tuple[Case, ...] = ()
    keys: Tuple[str, ...] = ()

    @classmethod
    def over(cls, cases: Sequence[Case], plan: Plan) -> StreamPlan:
        """Return the plan of some cases."""
        return cls(plan.folder, plan.settings, plan.wanted, plan.slices, tuple(cases), tuple(chain(cases, plan)))

    def for_case(self, case: Case) -> Plan:
        """Return the plan of a case, with the name of the weights after it."""
        return with_weights(self, f"{MINI_BATCH}-{self.keys[self.cases.index(case)]}.safetensors")

    def prepared(self, case: Case, folder: str) -> Plan:
        """Carry the weights on to a case, from the last one that is kept or from the base weights, and write them."""
        import torch

        adaptation, place = _adaptation(self), os.path.join(self.folder, STATE, f"{MINI_BATCH}.state")
        stop, state, start = self.cases.index(case) + 1, _read(place), 0
        if state and state["key"] in self.keys[:stop]:
            start = self.keys.index(state["key"]) + 1
            adaptation.restore(state["adaptation"])
        for number in range(start, stop):
            with contextlib.suppress(UserError):  # the row of such a case comes when it is computed
                adaptation.learn([(number, batch) for batch in batches_of(self.cases[number], self)])
            with staged(place, within=folder) as path, writing(place):
                torch.save({"key": self.keys[number], "adaptation": adaptation.state()}, str(path))
        weights = os.path.join(folder, self.for_case(case).settings.weights)
        with writing(weights):
            _write(self, weights, adaptation, stop)
        return with_weights(self, weights)


class Patients:
    """The batches of many patients, read anew in each pass, so that one patient is in memory at a time.

    Parameters
    ----------
    cases : sequence of Case
        The patients. Those that cannot be read are left out; their rows come when they are computed.
    plan : Plan
        With the settings.
    """

    def __init__(self, cases: Sequence[Case], plan: Plan) -> None:
        self._cases, self._plan = dict(enumerate(cases)), plan

    def __iter__(self) -> Iterator[Tuple[int, Any]]:
        for number, case in list(self._cases.items()):
            try:
                found = batches_of(case, self._plan)
            except UserError:
                del self._cases[number]
                continue
            for batch in found:
                yield number, batch


def batches_of(case: Case, plan: Plan) -> List[Any]:
    """Return one patient as the batches of an adaptation; raises UserError for images that cannot be used."""
    from .one_case import loaded

    result, settings, messages = plan.files(case).result, plan.settings, []  # type: ignore[var-annotated]
    if isinstance(settings, SliceRunSettings):
        from ..commands.slices_inputs import read_inputs as read_slices
        from ..commands.slices_request import SlicesRequest

        if case.sequence is None:
            raise InputError(f"{case.name} is a pair of phases: give one volume (or sequence) a case for slices.")
        volumes = read_slices(SlicesRequest(case.sequence, result, settings), ignore, never, messages)
        return loaded(settings).batches(volumes.requests, volumes.plan.settings)
    from ..commands.inputs import read_inputs
    from ..commands.request import Request
    from ..temporal import pipeline

    inputs = read_inputs(Request(result, case.phases, case.sequence, settings), ignore, never, messages)
    return list(pipeline.batches_of(loaded(settings), inputs.phases, settings))


def _adaptation(plan: Plan) -> Any:
    """Return an adaptation at the base weights."""
    from ..adaptation.schemes import Adaptation
    from .one_case import loaded

    network = loaded(plan.settings)
    return Adaptation.of(network.model, plan.settings.adaptation, network.device, plan.settings.seed)


def _read(path: str) -> Optional[Dict[str, Any]]:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True) if os.path.isfile(path) else None


def _write(plan: Plan, path: str, adaptation: Any, patients: int) -> None:
    """Write the adapted network, with the heads of the base weights, as a weights file."""
    from ..weights import TEMPORAL, THROUGH_PLANE
    from ..weights.files import save
    from ..weights.model import Model
    from .one_case import loaded

    chosen, model = plan.settings.adaptation, loaded(plan.settings).model
    card = {**model.card, "adapted": {
        "scheme": chosen.scheme, "auxiliary": chosen.auxiliary, "patients": patients, "seed": plan.settings.seed,
        "base": plan.wanted.weights, "iterations": adaptation.iterations, "learning_rate": adaptation.learning_rate,
        "kept": sum(adaptation.accepted.values())}}
    tasks = {**model.tasks, chosen.auxiliary: copy.deepcopy(adaptation.task).cpu()}
    axis = THROUGH_PLANE if isinstance(plan.settings, SliceRunSettings) else TEMPORAL
    save(Path(path), Model(copy.deepcopy(adaptation.network).cpu(), tasks, card), card, axis)
