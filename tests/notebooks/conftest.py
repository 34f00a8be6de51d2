"""Running a notebook in quick mode, with a kernel of the tests' own."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(scope="session")
def run_notebook(tmp_path_factory) -> Callable[..., dict[str, list]]:
    """A function: a notebook's name and environment variables → the outputs of its cells by id."""
    # A user's kernel named python3 may belong to another Python: this one starts the tests' own.
    kernels = tmp_path_factory.mktemp("jupyter")
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
        # BLAS threads that wait for each other make a small network many times slower on a busy machine.
        "env": {"LINNAEA_QUICK": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    }
    (kernels / "kernels" / "python3").mkdir(parents=True)
    (kernels / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))

    def outputs_of(name: str, **variables: str) -> dict[str, list]:
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PATH", str(kernels))
            for variable, value in variables.items():
                patch.setenv(variable, value)
            # Raises CellExecutionError, with the traceback of the cell, at the first error.
            resources = {"metadata": {"path": str(kernels)}}
            NotebookClient(notebook, timeout=300, startup_timeout=120, resources=resources).execute()
        return {cell.id: cell.get("outputs", []) for cell in notebook.cells}

    return outputs_of
