"""Solvers against torch.optim, step by step, in float64."""

import numpy as np
import pytest
import torch

from linnaea.classifiers.perceptron.solvers import SGD, Adam, Nesterov, views

SHAPES = [(3, 4), (3, 1), (2, 3)]
COUNT = 21

SOLVERS = {
    "sgd": (SGD, lambda p, decay: torch.optim.SGD(p, lr=0.1, weight_decay=decay)),
    "nesterov": (
        Nesterov,
        lambda p, decay: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=decay),
    ),
    "adam": (Adam, lambda p, decay: torch.optim.Adam(p, lr=0.1, weight_decay=decay)),
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("decay", [0.0, 0.02])
def test_ten_steps_are_torchs(name, decay):
    ours, theirs = SOLVERS[name]
    rng = np.random.default_rng(0)
    flat = rng.normal(size=COUNT)
    parameters = [torch.tensor(p.copy(), requires_grad=True) for p in views(flat, SHAPES)]
    solver, optimizer = ours(flat, SHAPES), theirs(parameters, decay)
    for step in range(10):
        # The rate changes from step to step, as under a schedule.
        solver.rate = optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        for i, (rows, columns) in enumerate(SHAPES):
            delta, x = rng.normal(size=(rows, 5)), rng.normal(size=(columns, 5))
            solver.descend(i, delta, x, decay)
            parameters[i].grad = torch.tensor(delta @ x.T / 5)
        solver.finish()
        optimizer.step()
        assert flat == pytest.approx(
            torch.cat([p.detach().reshape(-1) for p in parameters]).numpy(), abs=1e-12
        )


def test_adam_in_chunks_is_adam_in_one_piece(monkeypatch):
    results = []
    for chunk in (5, 1000):
        monkeypatch.setattr("linnaea.classifiers.perceptron.solvers.CHUNK", chunk)
        rng = np.random.default_rng(0)
        flat = rng.normal(size=COUNT)
        solver = Adam(flat, SHAPES)
        solver.rate = 0.01
        for _ in range(3):
            for i, (rows, columns) in enumerate(SHAPES):
                solver.descend(i, rng.normal(size=(rows, 5)), rng.normal(size=(columns, 5)))
            solver.finish()
        results.append(flat)
    assert np.array_equal(*results)


def test_views_share_the_buffer():
    flat = np.arange(21.0)
    first, bias, last = views(flat, SHAPES)
    assert first.shape == (3, 4)
    assert bias[:, 0].tolist() == [12, 13, 14]
    last[1, 2] = -1
    assert flat[20] == -1
