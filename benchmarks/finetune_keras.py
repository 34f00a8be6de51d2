"""Pictures per second when all layers are fine-tuned, beside Keras on each installed backend.

Keras runs the original report's recipe (its own MobileNetV2 or ResNet50, the report's head, plain gradient
descent, batches of 16 at 224 pixels) by model.fit on pictures in memory; Linnaea runs its default recipe,
decoding and augmentation included. Each runs in a process of its own on all cores. Weights are random,
because they do not change the time of a step. Keras' clock runs from the end of an epoch's first batch to the
end of its last, so that the start of each model.fit is not counted.

TensorFlow needs other versions of shared packages: TENSORFLOW_PYTHON may name an interpreter that has it.
"""

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.finetune_throughput import PICTURES, WholeLoop, write_pictures

NETWORKS = {"mobilenetv2": "MobileNetV2", "resnet50": "ResNet50"}
BACKENDS = {"torch": "torch", "jax": "jax", "tensorflow": "tensorflow"}  # Keras' name → the package
# Keras' rounds are longer: twelve steps each, of which eleven are timed.
ROUNDS, KERAS_PICTURES, SECONDS = 3, 192, 600

KERAS = f"""
import sys, time, statistics
import numpy as np, keras
from keras import layers
name = sys.argv[1]
body = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(224, 224, 3))
hidden = [layers.Dense(30, activation="relu")] if name == "ResNet50" else []
top = [layers.Dropout(0.2), layers.Dense(102, activation="softmax")]
head = [layers.GlobalAveragePooling2D(), *hidden, *top]
model = keras.Sequential([body, *head])
model.compile(keras.optimizers.SGD(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
X = np.random.default_rng(0).random(({KERAS_PICTURES}, 224, 224, 3), dtype=np.float32)
y = np.arange(len(X)) % 102

class Clock(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(time.perf_counter())

clock, times = Clock(), []
for _ in range({ROUNDS}):  # the first builds and compiles
    model.fit(X, y, batch_size=16, verbose=0, callbacks=[clock])
    times.append((clock.ends[-1] - clock.ends[0]) / (len(clock.ends) - 1))
print(16 / statistics.mean(times[1:]))
"""


def keras_speed(network: str, backend: str) -> float | None:
    """Return pictures per second, or None if the backend is not installed or does not finish."""
    python = os.environ.get("TENSORFLOW_PYTHON", "") if backend == "tensorflow" else ""
    if not python and importlib.util.find_spec(BACKENDS[backend]) is None:
        return None
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [python or sys.executable, "-c", KERAS, network]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def linnaea_speed(name: str) -> float:
    """Return pictures per second of the whole loop."""
    with tempfile.TemporaryDirectory() as folder:
        loop = WholeLoop(name, write_pictures(Path(folder)))
        return PICTURES / statistics.median([loop.seconds() for _ in range(ROUNDS + 1)][1:])


def main() -> None:
    """Print one line per network: pictures per second of each, and the ratio to the fastest Keras."""
    print(f"{'':14} {'Linnaea':>9} " + " ".join(f"{f'Keras {name}':>16}" for name in BACKENDS) + "    ratio")
    for name, application in NETWORKS.items():
        own = linnaea_speed(name)
        speeds = [keras_speed(application, backend) for backend in BACKENDS]
        cells = " ".join(f"{'–' if speed is None else f'{speed:.1f}':>16}" for speed in speeds)
        best = max((speed for speed in speeds if speed is not None), default=None)
        ratio = "–" if best is None else f"{own / best:.1f}x"
        print(f"{name:14} {own:9.1f} {cells} {ratio:>8}", flush=True)


if __name__ == "__main__":
    main()
