"""What a look at a picture costs with each network that --model auto tries, relative to the first.

`python -m benchmarks candidates`: forward passes with random weights in float32, alternating, so that other
load on the machine affects all alike. No weights and no data are needed. The table in short_names.py rounds
these costs.
"""

import statistics
import time

import timm
import torch

from linnaea.classifiers.finetune.backbones import resolve
from linnaea.classifiers.finetune.short_names import CANDIDATES

BATCH, SIZE, ROUNDS = 32, 224, 4


def main() -> None:
    """Print one line per network: pictures a second, and the cost beside the one in the table."""
    pictures = torch.randn(BATCH, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    networks: dict[str, torch.nn.Module] = {}
    seconds: dict[str, list[float]] = {}
    for name, *_ in CANDIDATES:
        size = {"img_size": SIZE} if "dinov2" in name else {}
        network = timm.create_model(resolve(name).architecture, pretrained=False, num_classes=0, **size)
        networks[name] = network.eval().to(memory_format=torch.channels_last)
        seconds[name] = []
    with torch.inference_mode():
        for number in range(ROUNDS + 1):
            for name, network in networks.items():
                started = time.perf_counter()
                network(pictures)
                if number:  # the first is a warm-up
                    seconds[name].append(time.perf_counter() - started)
    print(f"{'':20} {'pictures a second':>18} {'cost':>6} {'in the table':>13}")
    first = statistics.median(next(iter(seconds.values())))
    for name, cost, _ in CANDIDATES:
        middle = statistics.median(seconds[name])
        print(f"{name:20} {BATCH / middle:18.1f} {middle / first:6.2f} {cost:13.0f}")
