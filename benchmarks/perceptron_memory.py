"""Peak memory of training 784-500-500-10 on 60,000 pictures, beside scikit-learn and PyTorch.

Counted from after the imports: the uint8 source (45 MiB), its float32 copy (179 MiB), and what training adds.
Each library runs in a process of its own.
"""

import subprocess
import sys

ROWS, SIZES = 60_000, (784, 500, 500, 10)

PROLOGUE = f"""
import pathlib, resource, sys
import numpy as np
def peak():  # MiB
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        # Linux hands ru_maxrss on from the process that started this one; this counter is its own.
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts in bytes
def pictures():
    rng = np.random.default_rng(0)
    source = np.empty(({ROWS}, {SIZES[0]}), np.uint8)
    for rows in np.array_split(source, 100):
        rows[...] = rng.integers(256, size=rows.shape, dtype=np.uint8)
    X = np.empty(source.shape, np.float32)
    return source, np.multiply(source, np.float32(1 / 255), out=X), rng.integers(10, size=len(X))
"""
TRAINING = {
    "the data alone": "before = peak(); source, X, y = pictures()",
    "linnaea": """
from linnaea import MLPClassifier
before = peak(); source, X, y = pictures()
MLPClassifier((500, 500), epochs=1, random_state=0).fit(X, y)
""",
    "scikit-learn": """
import warnings; warnings.simplefilter("ignore")
from sklearn.neural_network import MLPClassifier
before = peak(); source, X, y = pictures()
MLPClassifier((500, 500), batch_size=100, max_iter=1, random_state=0).fit(X, y)
""",
    "PyTorch": """
import torch
before = peak(); source, X, y = pictures()
net = torch.nn.Sequential(
    torch.nn.Linear(784, 500), torch.nn.ReLU(),
    torch.nn.Linear(500, 500), torch.nn.ReLU(),
    torch.nn.Linear(500, 10),
)
optimizer = torch.optim.Adam(net.parameters())
X, y = torch.from_numpy(X), torch.from_numpy(y)
for rows in torch.randperm(len(X)).split(100):
    optimizer.zero_grad(set_to_none=True)
    torch.nn.functional.cross_entropy(net(X[rows]), y[rows]).backward()
    optimizer.step()
""",
}


def main() -> None:
    """Print one line per library: MiB above the interpreter with its imports."""
    for name, training in TRAINING.items():
        script = f"{PROLOGUE}\n{training}\nprint(peak() - before)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        print(
            f"{name:16} {float(done.stdout):6.0f} MiB" if done.returncode == 0 else f"{name:16} could not run"
        )


if __name__ == "__main__":
    main()
