"""Models and run folders from strangers: nothing runs, nothing fills the memory, each is refused by name."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors

import linnaea
from linnaea.classifiers.finetune.backbones import build_backbone
from linnaea.classifiers.finetune.classifier import FineTuneClassifier
from linnaea.classifiers.finetune.weights import read_weights
from linnaea.classifiers.perceptron.classifier import MLPClassifier
from linnaea.cli import main
from linnaea.errors import LinnaeaError
from linnaea.runs.folder import RunFolder

INFO = {"format_version": 1, "state": "finished", "data": {"pixels": {"size": 4, "colour": False}}}


class Malicious:
    """What an attacker would pickle: opening it calls a function of their choice."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a perceptron of 16 pixels and two classes."""
    folder = tmp_path / "run"
    folder.mkdir()
    X = np.random.default_rng(0).random((12, 16), dtype=np.float32)
    MLPClassifier((5,), epochs=1, random_state=0).fit(X, np.array(["a", "b"] * 6)).save(folder)
    (folder / "run.json").write_text(json.dumps(INFO))
    return folder


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved network of 16 weights' width for three classes, as save writes it, taught nothing."""
    folder = tmp_path_factory.mktemp("models") / "photos"
    pictures = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    settings = {"weights": "none", "size": 32, "epochs": 0, "precision": "float32", "views": 1}
    FineTuneClassifier("test_resnet", **settings).fit(pictures, np.array(list("abc") * 4)).save(folder)
    return folder


def change(path: Path, edit: Callable[[Any], Any]) -> None:
    model = json.loads(path.read_text())
    edit(model)
    path.write_text(json.dumps(model))


def refusal(load: Callable[[], object]) -> str:
    with pytest.raises(LinnaeaError) as caught:
        load()
    return str(caught.value)


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json", "run.json"])
def test_a_pickle_in_place_of_any_file_of_a_run_is_refused_and_runs_nothing(run: Path, name: str) -> None:
    target = run.parent / "was here"
    (run / name).write_bytes(pickle.dumps(Malicious(target)))
    assert name in refusal(lambda: linnaea.load(run))
    assert not target.exists()


def test_a_pickle_as_weights_to_start_from_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    target = tmp_path / "was here"
    torch.save({"state_dict": Malicious(target)}, tmp_path / "evil.pth")
    assert "could run a program hidden in it" in refusal(lambda: read_weights(tmp_path / "evil.pth"))
    # Under the name of the harmless format it is no file of that format.
    (tmp_path / "evil.pth").rename(tmp_path / "evil.safetensors")
    assert "is not a whole safetensors file" in refusal(lambda: read_weights(tmp_path / "evil.safetensors"))
    assert not target.exists()


@pytest.mark.parametrize("length", [0, 5, 2**20, 2**40, 2**64 - 1])
def test_a_header_that_states_any_length_is_refused(run: Path, length: int) -> None:
    (run / "weights.safetensors").write_bytes(struct.pack("<Q", length) + b'{"x":')
    assert "weights.safetensors could not be read (" in refusal(lambda: linnaea.load(run))


def test_a_header_whose_arrays_lie_outside_the_file_is_refused(run: Path) -> None:
    for offsets in ([0, 2**40], [2**40, 2**41], [8, 4], [-1, 3]):
        header = json.dumps({"coefs.0": {"dtype": "F32", "shape": [2**38], "data_offsets": offsets}}).encode()
        (run / "weights.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
        assert "weights.safetensors could not be read (" in refusal(lambda: linnaea.load(run))


def test_a_terabyte_of_weights_is_refused_before_it_is_read(run: Path) -> None:
    header = json.dumps({"coefs.0": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}}).encode()
    with open(run / "weights.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + (1 << 40))
    assert "is too large to read (1,099,511," in refusal(lambda: linnaea.load(run))


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E5M2", "I4", "C64"])
def test_numbers_of_a_kind_that_numpy_lacks_are_refused(run: Path, dtype: str) -> None:
    header = json.dumps({"coefs.0": {"dtype": dtype, "shape": [0], "data_offsets": [0, 0]}}).encode()
    (run / "weights.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert "weights.safetensors" in refusal(lambda: linnaea.load(run))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            lambda m: m["parameters"].update(hidden_layer_sizes=[10**12]),
            "coefs.0 should be float32 (16, 10000",
        ),
        (lambda m: m["parameters"].update(hidden_layer_sizes=[10**6] * 9), "should be float32 (16, 1000000)"),
        (lambda m: m.update(n_features_in=10**15), "coefs.0 should be float32 (1000000000000000, 5)"),
        (lambda m: m.update(n_features_in=-1), "-1 is no number of 1 or more"),
        (lambda m: m.update(n_features_in=True), "True is no number of 1 or more"),
        (lambda m: m.update(classes="ab"), "classes must be a list"),
        (lambda m: m.update(classes=["a", "a"]), "a class stands in classes twice"),
        (lambda m: m.update(classes=[["a"], {"b": 1}]), "classes must be text or numbers"),
        (lambda m: m.update(classes=["a", "b" * 10_001]), "more than 10,000 characters"),
        (lambda m: m.update(classes=list(range(100_001))), "a list of 1 to 100,000 names"),
        (lambda m: m.update(chosen_epoch="last"), "model.json is damaged"),
        (lambda m: m.update(temperature=1e999), "the temperature is inf and must be a number from 0.001"),
        (lambda m: m.update(temperature=1e-320), "the temperature is 1e-320 and must be a number from 0.001"),
        (lambda m: m.update(temperature=True), "the temperature is True and must be a number from 0.001"),
        (lambda m: m["parameters"].update(__class__="os.system"), "model.json is damaged"),
        (lambda m: m["parameters"].update(activation="os.system"), "is not known"),
        (lambda m: m.update(model="../../evil"), "There is no saved model of the kind '../../evil'"),
    ],
)
def test_a_model_json_that_asks_for_the_impossible_is_refused(
    run: Path, edit: Callable[[Any], Any], reason: str
) -> None:
    change(run / "model.json", edit)
    assert reason in refusal(lambda: linnaea.load(run))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda m: m["model_args"].update(checkpoint_path="/etc/passwd"), "must not hold 'checkpoint_path'"),
        (lambda m: m["model_args"].update(pretrained=True), "must not hold 'pretrained'"),
        (
            lambda m: m["model_args"].update(pretrained_cfg={"file": "/x.pth"}),
            "must not hold 'pretrained_cfg'",
        ),
        (lambda m: m["model_args"].update(cache_dir="/tmp"), "must not hold 'cache_dir'"),
        (lambda m: m["model_args"].update(width=10**9), "a value that no network is built with"),
        (lambda m: m["model_args"].update({"a b": 1}), "must not hold 'a b'"),
        (lambda m: m.update(model_args=[1]), "model_args must be an object"),
        (lambda m: m.update(backbone="eva_giant_patch14_224"), "has far more weights than the "),
        (lambda m: m.update(backbone="hf-hub:evil/model"), "There is no backbone 'hf-hub:evil/model'"),
        (lambda m: m.update(backbone="local-dir:/tmp"), "There is no backbone"),
        (lambda m: m.update(head_hidden=10**12), "units of the head, and the weights have none"),
        (lambda m: m["preprocessing"].update(size=4096), "integer from 1 to 2,048 pixels; received 4096"),
        (lambda m: m["preprocessing"].update(size=10**6), "integer from 1 to 2,048 pixels; received 1000000"),
        (
            lambda m: m["preprocessing"].update(crop_pct=1e-3),
            "crop_pct must be a number from 0.5 to 1; received",
        ),
        (lambda m: m["preprocessing"].update(mean="abc"), "is damaged"),
        (lambda m: m.update(preprocessing=[]), "is damaged"),
        (lambda m: m.update(precision=None), "is damaged"),
    ],
)
def test_a_photograph_networks_model_json_opens_no_file_and_fills_no_memory(
    finetuned: Path, tmp_path: Path, edit: Callable[[Any], Any], reason: str
) -> None:
    for name in ("weights.safetensors", "model.json"):
        (tmp_path / name).write_bytes((finetuned / name).read_bytes())
    change(tmp_path / "model.json", edit)
    assert reason in refusal(lambda: FineTuneClassifier.load(tmp_path))


def test_weights_that_are_not_numbers_predict_nothing(finetuned: Path, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes((finetuned / "model.json").read_bytes())
    tensors = load_tensors(finetuned / "weights.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[0] = torch.nan
    save_tensors(tensors, tmp_path / "weights.safetensors")
    assert "the weights hold NaN or infinity" in refusal(lambda: FineTuneClassifier.load(tmp_path))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_args": {"checkpoint_path": "/etc/passwd"}}, "must not hold 'checkpoint_path'"),
        ({"input_size": [3, 10**9, 10**9]}, "input_size must be"),
        ({"mean": ["x", 0, 0]}, "mean must be"),
        ({"std": [1e999, 1, 1]}, "std must be"),
    ],
)
def test_the_configuration_in_a_weights_file_is_believed_only_within_reason(
    tmp_path: Path, config: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "w.safetensors"
    save_tensors(timm.create_model("test_resnet").state_dict(), path, {"pretrained_cfg": json.dumps(config)})
    assert reason in refusal(lambda: build_backbone("test_resnet", weights=path))


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"format_version": True}, "was written in format True"),
        ({"format_version": -1}, "was written in format -1"),
        ({"format_version": 10**30}, "was written in format 1000"),
        ({"data": {"pixels": {"size": 10**9, "colour": False}}}, "data.pixels.size is 1000000000"),
        ({"data": {"pixels": {"size": "28", "colour": False}}}, "data.pixels.size is '28'"),
        ({"data": {"pixels": {"size": 28, "colour": "no"}}}, "data.pixels.colour is 'no'"),
        ({"data": ["../../etc/passwd"]}, "data is ['../../etc/passwd']"),
        ({"data": {"splits": {"test": -5}}}, "data.splits.test is -5"),
        ({"recipe": "rm -rf"}, "recipe is 'rm -rf'"),
        ({"phases": {"train": 3}}, "phases.train is 3"),
        ({"state": ["finished"]}, "state is ['finished']"),
    ],
)
def test_a_run_json_of_other_kinds_of_values_is_refused_by_its_key(
    run: Path, info: dict[str, Any], reason: str
) -> None:
    (run / "run.json").write_text(json.dumps({**INFO, **info}))
    assert reason in refusal(lambda: RunFolder.open(run))


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{}", b"", b"9" * 5000])
def test_json_that_breaks_readers_is_refused(run: Path, content: bytes) -> None:
    for name in ("model.json", "run.json"):
        whole = (run / name).read_bytes()
        (run / name).write_bytes(content)
        assert name in refusal(lambda: linnaea.load(run))
        (run / name).write_bytes(whole)


@pytest.mark.parametrize("name", ["run.json", "model.json", "weights.safetensors"])
def test_pipes_and_devices_in_a_run_folder_are_refused_at_once(run: Path, name: str) -> None:
    (run / name).unlink()
    os.mkfifo(run / name)
    assert name in refusal(lambda: linnaea.load(run))
    (run / name).unlink()
    (run / name).symlink_to("/dev/zero")
    assert name in refusal(lambda: linnaea.load(run))


def test_a_history_that_has_no_end_or_no_depth_is_refused(run: Path) -> None:
    (run / "history.jsonl").write_text("[" * 100_000 + "\n{}\n")
    assert "history.jsonl, line 1 is not JSON" in refusal(lambda: RunFolder.open(run).history())
    (run / "history.jsonl").unlink()
    os.mkfifo(run / "history.jsonl")
    assert "is a named pipe; a run has a file" in refusal(lambda: RunFolder.open(run).history())


def test_a_groups_folder_removes_no_run_outside_itself(run: Path, tmp_path: Path) -> None:
    group = tmp_path / "group"
    group.mkdir()
    (group / "link").symlink_to(run)
    names = ["../run", str(run), "..", "link", 3, None]
    (group / "repeats.json").write_text(json.dumps({"runs": names}))
    RunFolder.create(group, overwrite=True)
    assert (run / "run.json").exists()
    assert (run / "model.json").exists()


def test_markup_and_control_characters_in_names_are_shown_and_not_obeyed(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;owned\x07[red]<img src=x onerror=alert(1)>\u202e"
    change(run / "model.json", lambda model: model.update(classes=[evil, "b"]))
    (tmp_path / "\x1b[2Ja.png").write_bytes(b"no picture")
    code = main(["predict", str(run), str(tmp_path / "\x1b[2Ja.png")])
    shown = capfd.readouterr()
    assert code == 1
    for stream in (shown.out, shown.err):
        assert not set(stream) & set("\x1b\x07\u202e")
    assert "\\x1b[2Ja.png" in shown.err
    assert main(["report", str(tmp_path / "\x1b[2Jnone")]) == 1
    assert "\\x1b[2Jnone is not a run folder" in capfd.readouterr().err


def test_bytes_in_a_name_that_are_no_text_stop_no_prediction(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = os.fsdecode(os.fsencode(str(tmp_path)) + b"/caf\xe9.png")
    for format in ("table", "csv", "json"):
        assert main(["predict", str(run), path, "--format", format]) == 1
        assert "caf" in capfd.readouterr().out


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_weights_at_the_edge_of_the_numbers_answer_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "weights.safetensors"
    tensors = load_tensors(path)
    save_tensors({name: torch.full_like(tensor, 3e38) for name, tensor in tensors.items()}, path)
    Image.new("L", (4, 4), 200).save(tmp_path / "a.png")
    assert main(["predict", str(run), str(tmp_path / "a.png"), "--format", "json"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "Error: The network's output is not a number: its weights or settings are damaged. Restore "
        "weights.safetensors and model.json, or train again.\n"
    )


@pytest.mark.parametrize("data", [None, {}, {"pixels": {"size": None}}, {"pixels": {"size": 4096}}])
def test_no_picture_is_read_to_a_size_that_the_network_does_not_take(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: Any
) -> None:
    Image.new("L", (4, 4), 200).save(tmp_path / "a.png")
    (run / "run.json").write_text(json.dumps({**INFO, "data": data}))
    assert main(["predict", str(run), *[str(tmp_path / "a.png")] * 300]) == 1
    shown = capsys.readouterr().err
    if data and data["pixels"]["size"]:
        assert shown == (
            f"Error: {run}/run.json is not valid: data.pixels is {{'size': 4096, 'colour': False}}, "
            "and the network takes 16 numbers a picture. Restore it, or train again.\n"
        )
    assert f"{run}/run.json" in shown


def test_whole_models_still_load(run: Path, finetuned: Path) -> None:
    assert linnaea.load(run).predict(np.zeros((1, 16), np.float32)).shape == (1,)
    assert FineTuneClassifier.load(finetuned).classes_.tolist() == ["a", "b", "c"]
