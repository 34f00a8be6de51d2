"""What people would pick instead, on the same pictures and the same machine: accuracy and time.

`python -m benchmarks peers`: each row is a process of its own, from undecoded files to a network whose test
accuracy is known, one after another.

- Linnaea: the whole command with the probe alone (`--epochs 0`), with the check before and the report after.
- scikit-learn: LogisticRegression with its defaults, as it is and behind a StandardScaler, on the features of
  timm's network, one view of each picture by timm's own transform.
- fastai: `vision_learner(...).fine_tune(FASTAI_EPOCHS)` with its defaults; pictures by Resize(224), as in its
  quick start. FASTAI_EPOCHS is 4, as in its book; one more before them trains the head alone.

All see the split that Linnaea writes, and the same weights: MobileNet v2 and ViT-Tiny, the latter laid out as
the hub's cache for Linnaea. Peers choose nothing on validation; fastai's last epoch is evaluated. An
interpreter that has the peers (`pip install fastai timm scikit-learn`) is named by PEERS_PYTHON; without it
they run in this one. Needs the shared data and weights (LINNAEA_SHARED or ../shared). SETS ("waste,hands")
selects data sets, ROWS ("Linnaea: auto,fastai") rows by what their names begin with.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.auto import HEADER, SETS, SHARED, lay_out, measure, row
from linnaea.classifiers.finetune.short_names import KNOWN
from linnaea.evaluation.intervals import wilson

EPOCHS = os.environ.get("FASTAI_EPOCHS", "4")
# timm's name → the file of its weights.
WEIGHTS = {
    "mobilenetv2_100": SHARED / "weights/mobilenetv2_100.tv_in1k.safetensors",
    "vit_tiny_patch16_224": SHARED / f"weights/{KNOWN['vit_tiny'].weights}.safetensors",
}
TITLES = {"mobilenetv2_100": "MobileNet v2", "vit_tiny_patch16_224": "ViT-Tiny"}
OWN: dict[str, list[str | Path]] = {
    "MobileNet v2": ["--model", "mobilenetv2", "--weights", WEIGHTS["mobilenetv2_100"]],
    "EfficientNet-Lite0": ["--model", "efficientnet_lite0"],
    "ViT-Tiny": ["--model", "vit_tiny"],
    "auto": ["--model", "auto"],
}

# Both are given: a table with path,label,split; timm's name of a network; the file of its weights. They print
# lines: name, validation accuracy, test accuracy, seconds of what the other lines have no part in.
LOGISTIC = """
import csv, os, sys, time, warnings
import numpy as np, timm, torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
table, name, weights = sys.argv[1:4]
rows = list(csv.DictReader(open(table)))
given = dict(pretrained=True, pretrained_cfg_overlay={"file": weights})
network = timm.create_model(name, num_classes=0, **given).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))

class Pictures(torch.utils.data.Dataset):
    def __len__(self):
        return len(rows)

    def __getitem__(self, number):
        return transform(Image.open(rows[number]["path"]).convert("RGB"))

loader = torch.utils.data.DataLoader(Pictures(), batch_size=32, num_workers=os.cpu_count())
with torch.inference_mode():
    X = torch.cat([network(batch) for batch in loader]).numpy()
y, sets = (np.array([row[column] for row in rows]) for column in ("label", "split"))
X_train, y_train = X[sets == "train"], y[sets == "train"]
warnings.simplefilter("ignore")
for title, model in (
    ("LogisticRegression", LogisticRegression()),
    ("StandardScaler, LogisticRegression", make_pipeline(StandardScaler(), LogisticRegression())),
):
    started = time.perf_counter()
    model.fit(X_train, y_train)
    scores = [model.score(X[sets == part], y[sets == part]) for part in ("val", "test")]
    print(title, *scores, time.perf_counter() - started, sep="|", flush=True)
"""
FASTAI = """
import sys
import pandas as pd
from fastai.vision.all import *
table, name, weights, epochs = sys.argv[1:5]
frame = pd.read_csv(table, dtype=str)
frame["held"] = frame["split"] == "val"
learned, test = frame[frame["split"] != "test"], frame[frame["split"] == "test"]
block = DataBlock(blocks=(ImageBlock, CategoryBlock), get_x=ColReader("path"), get_y=ColReader("label"),
                  splitter=ColSplitter("held"), item_tfms=Resize(224))
loaders = block.dataloaders(learned)
learner = vision_learner(loaders, name, metrics=accuracy, pretrained_cfg_overlay={"file": weights})
with learner.no_bar(), learner.no_logging():
    learner.fine_tune(int(epochs))
    both = loaders.valid, loaders.test_dl(test, with_labels=True)
    scores = [learner.validate(dl=loader)[1] for loader in both]
print(f"fine_tune({epochs})", *scores, 0.0, sep="|", flush=True)
"""
PEERS = {"scikit-learn": (LOGISTIC, []), "fastai": (FASTAI, [EPOCHS])}


def write_table(run: Path, data: Path, path: Path) -> int:
    """Write path,label,split of the pictures of a run, as they lie on the disk; return the test pictures."""
    with (run / "split.csv").open(newline="") as file:
        rows = [(data / each["path"], each["label"], each["split"]) for each in csv.DictReader(file)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return sum(split == "test" for *_, split in rows)


def measure_peer(
    script: str, arguments: list[str], test_pictures: int, network: str
) -> list[tuple[str, str]]:
    """Run a peer's process once; return for each of its lines a name and the cells."""
    python = os.environ.get("PEERS_PYTHON") or sys.executable
    # As a person's: without what this process has set for itself.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    started = time.perf_counter()
    done = subprocess.run(
        [python, "-c", script, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    whole = time.perf_counter() - started
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [("", f"not measured: {reason}")]
    lines = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 3]
    own = [float(seconds) for *_, seconds in lines]
    cells = []
    for (title, *scores, _), seconds in zip(lines, own, strict=True):
        val, test = map(float, scores)
        low, high = wilson(round(test * test_pictures), test_pictures)
        cells.append((title, row(val, test, low, high, whole - sum(own) + seconds, network)))
    return cells


def main() -> None:
    """Print one line per data set, library and network."""
    if not all(path.exists() for path in WEIGHTS.values()):
        print(f"Skipped: the weights are not in {SHARED / 'weights'}.", file=sys.stderr)
        return
    wanted = tuple(os.environ.get("ROWS", "Linnaea,scikit-learn,fastai").split(","))
    print(f"{'':8} {'percent':48} {HEADER}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lay_out(folder / "weights")
        for name in os.environ.get("SETS", ",".join(SETS)).split(","):
            table, pictures = folder / "split.csv", 0
            for title, options in OWN.items():
                # The first one writes the split that the peers need.
                if pictures and not f"Linnaea: {title}".startswith(wanted):
                    continue
                cells, run = measure(SETS[name], options, folder)
                print(f"{name:8} {f'Linnaea: {title}':48} {cells}", flush=True)
                if (run / "split.csv").exists():
                    pictures = write_table(run, Path(SETS[name][2 if name == "flowers" else 0]), table)
            for library, (script, more) in PEERS.items():
                for network, weights in WEIGHTS.items():
                    if not library.startswith(wanted):
                        continue
                    arguments = [str(table), network, str(weights), *more]
                    for title, cells in measure_peer(script, arguments, pictures, TITLES[network]):
                        print(f"{name:8} {f'{library}: {title}':48} {cells}", flush=True)


if __name__ == "__main__":
    main()
