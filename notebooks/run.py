"""Run notebooks from first to last cell and store them with what they show: python run.py [name ...]."""

import json
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent


def run(name: str) -> None:
    """Run one notebook with this Python, and store it without what is this machine's."""
    path = HERE / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    before = {cell.id: dict(cell.metadata) for cell in notebook.cells}
    with tempfile.TemporaryDirectory() as place:
        kernel = Path(place, "kernels", "python3", "kernel.json")
        kernel.parent.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernel.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
        os.environ["JUPYTER_PATH"] = place
        resources = {"metadata": {"path": place}}
        NotebookClient(notebook, timeout=None, record_timing=False, resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode(before[cell.id])
    notebook.metadata.language_info = nbformat.NotebookNode(name="python")
    nbformat.write(notebook, path)
    print(f"{path.name}: {path.stat().st_size / 1000:,.0f} kB")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.ipynb")):
        run(wanted)
