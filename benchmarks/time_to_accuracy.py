"""Validation accuracy over time on Flowers-102: the default recipe beside Keras with the report's recipe.

Keras fine-tunes its own MobileNetV2 with the same ImageNet weights by model.fit: pictures scaled to 0..1 and
enlarged from 150 to 224 pixels, dropout 0.2 and a dense layer, batches of 16, plain gradient descent at
0.005, no augmentation. Its clock starts when all pictures are in memory; Linnaea's starts with undecoded
files. Needs the shared data and weights (LINNAEA_SHARED or ../shared) and TensorFlow: TENSORFLOW_PYTHON names
an interpreter that has it. EPOCHS (20) is the number of epochs of Keras.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch

from linnaea.classifiers.finetune.backbones import build_backbone
from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.data import cache, sources, split

SHARED = Path(os.environ.get("LINNAEA_SHARED", "../shared"))
WEIGHTS = SHARED / "weights" / "mobilenetv2_100.tv_in1k.safetensors"
EPOCHS = int(os.environ.get("EPOCHS", "20"))

KERAS = """
import sys, time, json
import numpy as np, keras
from keras import layers
folder, epochs = sys.argv[1], int(sys.argv[2])
arrays = np.load(folder + "/arrays.npz")
kept = np.load(folder + "/weights.npz")
X, X_val = (arrays[name].astype("float32") / 255 for name in ("train", "val"))
body = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(224, 224, 3))
body.set_weights([kept[f"arr_{i}"] for i in range(len(kept.files))])
model = keras.Sequential([body, layers.GlobalAveragePooling2D(), layers.Dropout(0.2),
                          layers.Dense(102, activation="softmax")])
model.compile(keras.optimizers.SGD(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
spent = 0.0
for epoch in range(epochs):
    started = time.perf_counter()
    model.fit(X, arrays["y_train"], batch_size=16, verbose=0)
    spent += time.perf_counter() - started
    accuracy = model.evaluate(X_val, arrays["y_val"], batch_size=32, verbose=0)[1]
    print(json.dumps([spent, accuracy]), flush=True)
"""


def keras_arrays(network: torch.nn.Module) -> list[np.ndarray]:
    """Return a MobileNetV2's weights without its head, in the order of Keras' set_weights."""
    arrays = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            weight = layer.weight.detach().numpy()
            # (out, in, h, w) → (h, w, in, out); a depthwise one → (h, w, channels, 1).
            arrays.append(weight.transpose(2, 3, 0, 1) if layer.groups > 1 else weight.transpose(2, 3, 1, 0))
        elif isinstance(layer, torch.nn.BatchNorm2d):
            mean, variance = layer.running_mean, layer.running_var
            arrays += [t.detach().numpy() for t in (layer.weight, layer.bias, mean, variance)]
    return arrays


def write_inputs(folder: Path, dataset: sources.Dataset, made: split.Split) -> None:
    """Write the inputs of the Keras process: both sets, preprocessed as in the report, and the weights."""
    report, classes = Preprocessing.report(224), np.unique(dataset.labels)
    arrays = {}
    for name, rows in (("train", made.train), ("val", made.val)):
        pictures = cache.decoded(dataset.files(rows), 256)
        fitted = report.fit([np.asarray(pictures[row]) for row in range(len(rows))])
        arrays[name] = fitted.permute(0, 2, 3, 1).numpy()
        arrays[f"y_{name}"] = np.searchsorted(classes, dataset.labels[rows])
    np.savez(folder / "arrays.npz", **arrays)
    network = timm.create_model("mobilenetv2_100")
    network.load_state_dict(build_backbone("mobilenetv2", weights=WEIGHTS).network.state_dict())
    np.savez(folder / "weights.npz", *keras_arrays(network))


def keras_course(dataset: sources.Dataset, made: split.Split) -> list[tuple[float, float]]:
    """Return (seconds of training, validation accuracy) after each epoch; none without TensorFlow."""
    python = os.environ.get("TENSORFLOW_PYTHON", "")
    if not python:
        return []
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(Path(folder), dataset, made)
        done = subprocess.run(
            [python, "-c", KERAS, folder, str(EPOCHS)],
            env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]


def own_course(dataset: sources.Dataset, made: split.Split) -> list[tuple[float, float]]:
    """Return (seconds since the start, validation accuracy) after the probe and after each epoch."""
    course: list[tuple[float, float]] = []
    started = time.perf_counter()
    classifier = FineTuneClassifier("mobilenetv2", weights=WEIGHTS, random_state=0)
    pictures = cache.decoded(dataset.files(range(len(dataset))), classifier.kept_side())
    classifier.fit(
        pictures.select(made.train),
        dataset.labels[made.train],
        validation_data=(pictures.select(made.val), dataset.labels[made.val]),
        on_epoch=lambda record, _: course.append((time.perf_counter() - started, record.val_accuracy)),
    )
    return course


def main() -> None:
    """Print both curves, when Linnaea passed Keras' best, and its lead at the end of Keras' training."""
    if not WEIGHTS.exists():
        print(f"Skipped: {WEIGHTS} is not here.", file=sys.stderr)
        return
    dataset = sources.open_dataset("flowers102", data_dir=SHARED / "data" / "flowers102")
    made = split.make_split(dataset, "official")
    courses = {"Linnaea": own_course(dataset, made), "Keras": keras_course(dataset, made)}
    for name, course in courses.items():
        points = "  ".join(f"{seconds:.0f} s {100 * accuracy:.1f} %" for seconds, accuracy in course)
        print(f"{name:8} {points or 'not measured: TENSORFLOW_PYTHON names no interpreter'}")
    if courses["Keras"]:
        best, end = max(accuracy for _, accuracy in courses["Keras"]), courses["Keras"][-1][0]
        passed = next((seconds for seconds, accuracy in courses["Linnaea"] if accuracy > best), None)
        by_then = max((a for seconds, a in courses["Linnaea"] if seconds <= end), default=float("nan"))
        when = "never" if passed is None else f"after {passed:.0f} s"
        print(f"Keras' best, {100 * best:.1f} % in {end:.0f} s, is passed {when};")
        print(f"at Keras' time Linnaea is at {100 * (by_then - best):+.1f} points from it.")


if __name__ == "__main__":
    main()
