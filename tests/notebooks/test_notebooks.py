"""The notebooks run from the first cell to the last, draw their figures, and are stored clean."""

import functools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
# The cells that show a figure of the report, and the titles their drawings carry for screen readers.
FIGURES = {
    "Part1-TwoHidden": {
        "accuracy-graph": "Accuracy per epoch",
        "loss-graph": "Squared error per epoch",
        "intervals": "Accuracy with its 95 % interval",
    },
    "Part1-Keras": {
        "short-graph": "Five epochs of plain descent",
        "accuracy-graph": "Accuracy per epoch",
        "loss-graph": "Cross-entropy per epoch",
        "intervals": "Accuracy with its 95 % interval",
    },
}


# Outputs of the cells by id.
Outputs = dict[str, list]


@pytest.fixture(scope="module")
def execute(tmp_path_factory) -> Callable[[str], Outputs]:
    """A function that runs a notebook of that name in quick mode, once."""
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

    @functools.cache
    def outputs_of(name: str) -> Outputs:
        if name == "Part1-Keras":
            pytest.importorskip("keras")
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PATH", str(kernels))
            # Raises CellExecutionError, with the traceback of the cell, at the first error.
            resources = {"metadata": {"path": str(kernels)}}
            NotebookClient(notebook, timeout=300, startup_timeout=120, resources=resources).execute()
        return {cell.id: cell.get("outputs", []) for cell in notebook.cells}

    return outputs_of


@pytest.fixture(scope="module", params=FIGURES)
def executed(request, execute) -> tuple[str, Outputs]:
    """Each notebook's name and outputs in turn."""
    return request.param, execute(request.param)


def html(outputs: list) -> str:
    return "".join(output.data.get("text/html", "") for output in outputs if "data" in output)


def markdown(outputs: list) -> str:
    return "".join(output.data.get("text/markdown", "") for output in outputs if "data" in output)


def streamed(outputs: list) -> str:
    return "".join(output.get("text", "") for output in outputs)


def test_every_figure_is_drawn(executed):
    name, outputs = executed
    for cell, title in FIGURES[name].items():
        drawn = html(outputs[cell])
        assert "<svg" in drawn, f"{name}: the cell {cell} draws nothing"
        assert title in drawn
        assert "nan" not in re.sub(r"<[^>]*>", "", drawn).lower()


def test_the_digits_and_the_mistakes_are_pictures(executed):
    _, outputs = executed
    assert html(outputs["digits"]).count("<img") == 1
    assert html(outputs["mistakes"]).count("<img") == 12


def test_the_confusion_matrix_counts_every_test_picture(executed):
    _, outputs = executed
    cells = re.findall(r"<td[^>]*>(\d*)</td>", html(outputs["confusion"]))
    assert len(cells) == 100
    assert sum(int(count or 0) for count in cells) == 1500


def test_numbers_stand_beside_the_reported_ones(executed):
    name, outputs = executed
    table = markdown(outputs["judge"])
    wanted = ("94.54 %", "96.50 %", "0.99527") if name == "Part1-TwoHidden" else ("91.99 %", "96.50 %")
    assert all(number in table for number in wanted)


def test_nothing_is_written_to_stderr(executed):
    _, outputs = executed
    noise = [o.text for cell in outputs.values() for o in cell if o.get("name") == "stderr"]
    assert noise == []


def test_a_reader_is_told_that_these_are_the_small_data(executed):
    _, outputs = executed
    told = markdown(outputs["data"])
    assert "3,500 pictures to learn from, 1,500 to be judged on" in told
    assert "the 5,000 digits that need no download" in told


def test_formula_and_class_agree(execute):
    outputs = execute("Part1-TwoHidden")
    assert float(streamed(outputs["forward"]).split()[-1]) < 1e-5
    apart = [float(line.split()[-1]) for line in streamed(outputs["compare-step"]).splitlines()]
    assert len(apart) == 3
    assert max(apart) < 1e-6
    assert markdown(outputs["gradients"]).count("| right |") == 6


def test_the_comparison_covers_every_test_picture(execute):
    outputs = execute("Part1-Keras")
    table, verdict = markdown(outputs["mcnemar"]).rsplit("\n\n", 1)
    counts = [int(number.replace(",", "")) for number in re.findall(r"[\d,]+(?= \|)", table)]
    assert len(counts) == 4
    assert sum(counts) == 1500
    assert verdict.startswith("$p$ = ")


@pytest.mark.parametrize("name", FIGURES)
def test_stored_without_outputs(name):
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    idents = [cell["id"] for cell in notebook["cells"]]
    assert len(set(idents)) == len(idents)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], cell["id"]
            assert cell["execution_count"] is None, cell["id"]


def test_every_notebook_is_tested():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(FIGURES)
