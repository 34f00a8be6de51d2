"""How much slower training is on a computer that does other things too: three busy processes beside it.

`python -m benchmarks busy`: features of EfficientNet-Lite0, training steps of it, and epochs of a perceptron
with two hidden layers, each in a process of its own, alone and beside the load; with threads that sleep while
they wait, as Linnaea sets them (PASSIVE), and with threads that spin (ACTIVE). With as many threads as cores
c and three busy processes, c / (c + 3) of the processor is left: so much slower is fair, and 1.5 times that
is the aim.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

Work = tuple[Callable[[], object], int]  # what is done, and how many pictures that is

LOAD, SECONDS, ROUNDS = 3, 4.0, 3
KINDS = ("features", "fine-tuning", "perceptron")
POLICIES = ("PASSIVE", "ACTIVE")


def pictures_per_second(kind: str) -> float:
    """Return how many pictures of one kind of work are done in a second, over SECONDS."""
    work, pictures = WORK[kind]()
    work()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        work()
        done += pictures
    return done / (time.perf_counter() - started)


def _features() -> Work:
    import torch

    from linnaea.classifiers.finetune.construction import open_network
    from linnaea.classifiers.finetune.inference import forward_features

    opened = open_network(
        "efficientnet_lite0", weights="hub", size=None, variant="weights", classes=2, seed=0, device="cpu"
    )
    network = opened.network.eval()
    pictures = torch.zeros((16, 3, 224, 224)).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def work() -> None:
        forward_features(network, pictures, "float32")

    return work, 16


def _tuning() -> Work:
    import torch

    from benchmarks.finetune_throughput import BATCH, BareStep

    torch.manual_seed(0)
    step = BareStep("efficientnet_lite0", "float32")
    return lambda: step.seconds(BATCH), BATCH


def _perceptron() -> Work:
    import numpy as np

    from linnaea import MLPClassifier

    X = np.random.default_rng(0).random((5000, 784), dtype=np.float32)
    y = np.arange(5000) % 10
    return lambda: MLPClassifier((500, 500), epochs=1, random_state=0).fit(X, y), 5000


WORK = {"features": _features, "fine-tuning": _tuning, "perceptron": _perceptron}


def measured(kind: str, policy: str, load: int) -> float:
    """Return the pictures a second of a process of its own, beside so many busy ones."""
    environment = {**os.environ, "OMP_WAIT_POLICY": policy}
    with ExitStack() as stack:
        for _ in range(load):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(busy.kill)
        command = [sys.executable, "-m", "benchmarks.busy", kind]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout)


def main() -> None:
    """Print one line per kind of work and policy; the best of ROUNDS alternating rounds counts."""
    from linnaea.machine import usable_cores

    fair = (usable_cores() + LOAD) / usable_cores()
    print(
        f"{'pictures a second':24} {'alone':>8} {'beside 3':>9} {'slower':>7}   fair: {fair:.1f} times slower"
    )
    for kind in KINDS:
        best: dict[tuple[str, int], float] = {}
        for _ in range(ROUNDS):
            for policy in POLICIES:
                for load in (0, LOAD):
                    speed = measured(kind, policy, load)
                    best[policy, load] = max(speed, best.get((policy, load), 0.0))
        for policy in POLICIES:
            alone, beside = best[policy, 0], best[policy, LOAD]
            print(f"{kind:15} {policy:8} {alone:8.1f} {beside:9.1f} {alone / beside:7.1f}", flush=True)


if __name__ == "__main__":
    print(pictures_per_second(sys.argv[1]))
