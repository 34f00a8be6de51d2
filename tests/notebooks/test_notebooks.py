"""The notebooks run from the first cell to the last, draw their figures, and are stored with them."""

import functools
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
# The cells that show a figure of the report, and the titles their drawings carry for screen readers.
FIGURES = {
    "Part1-TwoHidden": {
        "accuracy-graph": "Accuracy per epoch",
        "loss-graph": "Squared error per epoch",
        "intervals": "Accuracy with its 95 % interval",
    },
    "Part1-Keras": {
        "short-graph": "Five epochs of plain gradient descent",
        "accuracy-graph": "Accuracy per epoch",
        "loss-graph": "Cross-entropy per epoch",
        "intervals": "Accuracy with its 95 % interval",
    },
    "Part2": {
        "mobilenet-accuracy": "MobileNet v2, as reported: accuracy per epoch",
        "mobilenet-loss": "MobileNet v2, as reported: cross-entropy per epoch",
        "resnet-accuracy": "ResNet50, as reported: accuracy per epoch",
        "resnet-loss": "ResNet50, as reported: cross-entropy per epoch",
        "ours-accuracy": "EfficientNet-Lite0, default recipe: accuracy per epoch",
        "ours-loss": "EfficientNet-Lite0, default recipe: cross-entropy per epoch",
        "intervals": "Accuracy with its 95 % interval",
    },
}
PART1 = ("Part1-TwoHidden", "Part1-Keras")

Outputs = dict[str, list]


@pytest.fixture(scope="module")
def tiles(tmp_path_factory) -> Path:
    """Two classes of 15 pictures, cut from the two photographs that come with scikit-learn (427 x 640)."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, file in (("flower", "flower.jpg"), ("temple", "china.jpg")):
        (folder / name).mkdir()
        photograph = load_sample_image(file)
        for number in range(15):
            top, left = 128 * (number // 5), 128 * (number % 5)
            tile = Image.fromarray(photograph[top : top + 128, left : left + 128])
            tile.save(folder / name / f"{number:02}.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def no_hub(tmp_path_factory) -> dict[str, str]:
    """Variables with which the hub's weights cannot be had: no network, and an empty cache."""
    return {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path_factory.mktemp("hub"))}


@pytest.fixture(scope="module")
def execute(run_notebook, tiles, no_hub) -> Callable[[str], Outputs]:
    """A function that runs a notebook of that name in quick mode, once."""

    @functools.cache
    def outputs_of(name: str) -> Outputs:
        if name == "Part1-Keras":
            pytest.importorskip("keras")
        elsewhere = {"LINNAEA_PICTURES": str(tiles), **no_hub} if name == "Part2" else {}
        return run_notebook(name, **elsewhere)

    return outputs_of


@pytest.fixture(scope="module", params=FIGURES)
def executed(request, execute) -> tuple[str, Outputs]:
    """Each notebook's name and outputs in turn."""
    return request.param, execute(request.param)


@pytest.fixture(scope="module", params=PART1)
def part1(request, execute) -> tuple[str, Outputs]:
    """The same for the two notebooks about digits."""
    return request.param, execute(request.param)


@pytest.fixture(scope="module")
def part2(execute) -> Outputs:
    """The outputs of the notebook about photographs, run on the tiles."""
    return execute("Part2")


def drawn(outputs: list) -> str:
    return "".join(output.data.get("image/svg+xml", "") for output in outputs if "data" in output)


def words_in(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).findall(".//{*}text")]


def markdown(outputs: list) -> str:
    return "".join(output.data.get("text/markdown", "") for output in outputs if "data" in output)


def streamed(outputs: list) -> str:
    return "".join(output.get("text", "") for output in outputs)


def test_every_figure_is_drawn(executed):
    name, outputs = executed
    for cell, title in FIGURES[name].items():
        svg = drawn(outputs[cell])
        assert "<path" in svg, f"{name}: the cell {cell} draws nothing"
        assert title in svg
        assert not any("nan" in words.lower() for words in words_in(svg))


def test_the_digits_and_the_mistakes_are_pictures(part1, execute):
    _, outputs = part1
    assert drawn(outputs["mistakes"]).count("<image") == 12
    assert drawn(execute("Part1-TwoHidden")["digits"]).count("<image") == 1


def test_the_confusion_matrix_counts_every_test_picture(part1):
    _, outputs = part1
    title, *names_and_counts = words_in(drawn(outputs["confusion"]))
    assert title.startswith("Confusion matrix, ")
    # The names are digits, too: each once above its column and once beside its row.
    assert sum(int(words) for words in names_and_counts if words.isdigit()) - 2 * sum(range(10)) == 1500


def test_numbers_stand_beside_the_reported_ones(part1):
    name, outputs = part1
    table = markdown(outputs["judge"])
    wanted = ("94.54 %", "96.50 %", "0.99527") if name == "Part1-TwoHidden" else ("91.99 %", "96.50 %")
    assert all(number in table for number in wanted)


def test_nothing_is_written_to_stderr(executed):
    _, outputs = executed
    noise = [o.text for cell in outputs.values() for o in cell if o.get("name") == "stderr"]
    assert noise == []


def test_a_reader_is_told_that_these_are_the_small_data(part1):
    _, outputs = part1
    summary = markdown(outputs["data"])
    assert "3,500 training pictures, 1,500 test pictures" in summary
    assert "the 5,000 digits that need no download" in summary


def test_formula_and_class_agree(execute):
    outputs = execute("Part1-TwoHidden")
    assert float(streamed(outputs["forward"]).split()[-1]) < 1e-5
    apart = [float(line.split()[-1]) for line in streamed(outputs["compare-step"]).splitlines()]
    assert len(apart) == 3
    assert max(apart) < 1e-6
    assert markdown(outputs["gradients"]).count("| correct |") == 6


def test_the_comparison_covers_every_test_picture(execute):
    outputs = execute("Part1-Keras")
    table, verdict = markdown(outputs["mcnemar"]).rsplit("\n\n", 1)
    counts = [int(number.replace(",", "")) for number in re.findall(r"[\d,]+(?= \|)", table)]
    assert len(counts) == 4
    assert sum(counts) == 1500
    assert verdict.startswith("$p$ = ")


def test_the_tables_end_in_the_published_totals(part2):
    # Sandler et al. 2018: 3.4 M parameters and 300 M multiply-adds; He et al. 2015: 25.6 M, and 4.1 G with
    # the stride in the 3 x 3 convolution.
    totals = {"mobilenet-table": ["3.50 M", "301 M"], "resnet-table": ["25.6 M", "4.09 G"]}
    for cell, expected in totals.items():
        assert re.findall(r"\*\*([^*]+)\*\* \|", markdown(part2[cell]))[-2:] == expected


def test_the_heads_are_those_of_the_report(part2):
    mobilenet, resnet = streamed(part2["heads"]).split("ResNet50")
    assert re.findall(r"(Dropout\(p=[\d.]+|in_features=\d+, out_features=\d+|ReLU)", mobilenet) == [
        "Dropout(p=0.2",
        "in_features=1280, out_features=2",
    ]
    assert re.findall(r"(Dropout\(p=[\d.]+|in_features=\d+, out_features=\d+|ReLU)", resnet) == [
        "in_features=2048, out_features=30",
        "ReLU",
        "Dropout(p=0.2",
        "in_features=30, out_features=2",
    ]


def test_the_photographs_are_shown(part2):
    # In a short trial, at most four pictures of each class in each set.
    assert "2 classes: 8 training pictures" in markdown(part2["data"])
    assert [drawn(part2[cell]).count("<image") for cell in ("sheet", "seen", "mistakes")] == [8, 3, 8]


def test_a_network_without_weights_says_so_and_goes_on(part2):
    message = markdown(part2["resnet"])
    assert "**resnet50 starts from random weights, for two epochs at most.**" in message
    assert "The weights of resnet50.tv_in1k could not be downloaded from the Hugging Face Hub" in message
    assert "put it into the folder `weights` as `resnet50.tv_in1k.safetensors`." in message
    table = markdown(part2["judge"])
    assert "ResNet50, as reported (random start)" in table
    # Its weights are a package, so the default needs no hub.
    assert "EfficientNet-Lite0, default recipe |" in table


def test_the_default_recipe_is_not_below_its_probe(part2):
    probe, kept = re.findall(r"([\d.]+)\s%", markdown(part2["ours"])[-400:].partition("The probe")[2])
    assert float(kept) >= float(probe)


def test_part2_runs_on_a_few_flowers(run_notebook, no_hub, shared, tmp_path):
    # MobileNet's weights alone, whatever else lies beside them: ResNet50 then starts from chance.
    for weights in (shared / "weights").glob("mobilenetv2_100.*"):
        (tmp_path / weights.name).symlink_to(weights)
    folders = {
        "LINNAEA_FLOWERS102_DIR": str(shared / "data" / "flowers102"),
        "LINNAEA_WEIGHTS_DIR": str(tmp_path),
    }
    outputs = run_notebook("Part2", **folders, **no_hub)
    assert "6 classes: 24 training pictures, 24 validation pictures" in markdown(outputs["data"])
    assert drawn(outputs["mistakes"]).count("<image") == 12
    rows = dict(re.findall(r"\| ([^|]+) \| \*\*([\d.]+) %", markdown(outputs["judge"])))
    assert list(rows)[:2] == ["MobileNet v2, as reported", "ResNet50, as reported (random start)"]
    # Guessing among six flowers gives 17 %; pretrained features, even of pictures of 96 pixels, far more.
    assert float(rows["EfficientNet-Lite0, default recipe"]) > 50


@pytest.fixture(scope="module", params=FIGURES)
def stored(request) -> nbformat.NotebookNode:
    """Each notebook as a visitor of the repository finds it."""
    notebook = nbformat.read(NOTEBOOKS / f"{request.param}.ipynb", as_version=4)
    notebook.name = request.param
    return notebook


def test_stored_with_the_pictures_that_a_visitor_sees(stored):
    nbformat.validate({key: value for key, value in stored.items() if key != "name"})
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert len({cell.id for cell in stored.cells}) == len(stored.cells)
    # From the first to the last, in one go.
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = {cell.id: cell.outputs for cell in code}
    for cell, title in FIGURES[stored.name].items():
        assert title in drawn(outputs[cell]), cell
    assert drawn(outputs["mistakes"]).count("<image") == 12
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    # Pages that show notebooks leave style sheets and inline drawings out of HTML.
    assert not any("text/html" in output.get("data", {}) for cell in code for output in cell.outputs)


def test_stored_without_what_differs_from_machine_to_machine(stored):
    assert stored.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert {tuple(cell.metadata) for cell in stored.cells if cell.cell_type == "code"} <= {(), ("jupyter",)}
    for cell in stored.cells:
        # The letters of encoded pictures may look like anything.
        outputs = re.sub(r"base64,[\w+/=]+", "", json.dumps(cell.get("outputs", [])))
        paths = r"(/(work|home|root|tmp|Users|mnt|opt|usr|var)/|[A-Z]:\\\\)\S*"
        assert not re.search(paths, outputs), (cell.id, re.search(paths, outputs))
        times = r"\b[\d.,]+ ?(s|ms|seconds|minutes|min)\b|object at 0x"
        assert not re.search(times, outputs), (cell.id, re.search(times, outputs))


def test_stored_in_few_bytes(stored):
    assert (NOTEBOOKS / f"{stored.name}.ipynb").stat().st_size < 500_000


def test_no_code_stands_in_two_notebooks():
    known: dict[str, str] = {}
    for name in FIGURES:
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            # A call alone is no copy.
            copied = cell.cell_type == "code" and len(cell.source.splitlines()) > 2
            assert not copied or cell.source not in known, (name, cell.id, known.get(cell.source))
            functions = re.findall(r"^def \w+\(.*?(?=^\S|\Z)", cell.source, re.MULTILINE | re.DOTALL)
            assert not any(function in known for function in functions), (name, cell.id)
            known |= dict.fromkeys([cell.source, *functions], name)


def test_every_notebook_is_tested():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(FIGURES)
