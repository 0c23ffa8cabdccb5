"""The steps of adaptation are Adam's."""

from __future__ import annotations

import functools
import subprocess
import sys

import torch
from torch import nn

from ttt4d.adaptation.adam import Adam

# Before 2.1, torch rounded the mean of the gradients twice in a step.
ROUNDS_ONCE = tuple(int(number) for number in torch.__version__.split(".")[:2]) >= (2, 1)
same = torch.equal if ROUNDS_ONCE else functools.partial(torch.allclose, rtol=0, atol=1e-6)


def test_the_steps_are_those_of_torch_bit_for_bit():
    torch.manual_seed(0)
    mine = [nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(5)), nn.Parameter(torch.randn(2))]
    theirs = [nn.Parameter(p.detach().clone()) for p in mine]
    adam, judge = Adam(mine, 3e-3), torch.optim.Adam(theirs, lr=3e-3)
    for step in range(5):
        judge.zero_grad(set_to_none=True)
        # The second has no gradient in some steps, the third in none.
        for parameters in (mine, theirs):
            loss = parameters[0].sin().sum() + (parameters[1]**3).sum() * (step != 2)
            torch.autograd.backward(loss, inputs=parameters[:1 if step == 2 else 2])
        adam.step()
        judge.step()
        assert all(same(a, b) for a, b in zip(mine, theirs)), step


def test_a_step_does_not_load_the_compiler_of_torch():
    code = ("import sys, torch; from ttt4d.adaptation.adam import Adam; w = torch.nn.Parameter(torch.ones(1))\n"
            "adam = Adam([w], 0.1); (w * w).sum().backward(); adam.step(); print('torch._dynamo' in sys.modules)")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
