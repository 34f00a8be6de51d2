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


def test_adam_in_float32_is_torchs_within_rounding():
    # Fifty steps, with gradients of very different sizes, some of them always zero; more than one chunk.
    shapes = [(50, 784), (50, 1)]
    rng = np.random.default_rng(0)
    flat = rng.normal(0, 0.05, 50 * 785).astype(np.float32)
    parameters = [torch.tensor(p.copy(), requires_grad=True) for p in views(flat, shapes)]
    solver, optimizer = Adam(flat, shapes), torch.optim.Adam(parameters, lr=1e-3)
    solver.rate = 1e-3
    sizes = np.where(rng.random((784, 1)) < 0.3, 0, 10.0 ** rng.uniform(-4, 0, (784, 1)))
    for _ in range(50):
        delta = rng.normal(size=(50, 8)).astype(np.float32)
        x = (sizes * rng.random((784, 8))).astype(np.float32)
        ones = np.ones((1, 8), np.float32)
        for index, columns in enumerate((x, ones)):
            solver.descend(index, delta, columns)
            # The same gradient to the last bit: only the update is compared.
            parameters[index].grad = torch.tensor(solver.gradients[index])
        solver.finish()
        optimizer.step()
    theirs = torch.cat([p.detach().reshape(-1) for p in parameters]).numpy()
    # Fifty steps of at most about 1e-3 each, every one right to a few units of float32's 24 bits.
    assert np.abs(flat - theirs).max() < 1e-6


def test_adam_goes_on_from_the_means_of_earlier_checkpoints():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=COUNT)
    solver = Adam(flat, SHAPES)
    solver.rate = 0.01

    def step(solver, delta):
        for i, (rows, columns) in enumerate(SHAPES):
            solver.descend(i, delta[:rows], delta[:columns])
        solver.finish()

    step(solver, rng.normal(size=(4, 5)))
    again = Adam(flat.copy(), SHAPES)
    again.rate = 0.01
    means = {"mean": solver.memory["sum"] * 0.1, "square": solver.memory["square_sum"] * 0.001}
    again.resume(means, solver.steps)
    delta = rng.normal(size=(4, 5))
    step(solver, delta)
    step(again, delta)
    assert again.flat == pytest.approx(solver.flat, rel=1e-12)


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
