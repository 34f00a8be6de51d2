"""linnaea describe and linnaea models, as a person types them."""

import json

import pytest
from cyclopts import App

from linnaea.commands.describe import describe, millions
from linnaea.commands.models import models
from linnaea.errors import LinnaeaError, SettingError, UsageError


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def test_the_resnet_table_reads_like_the_papers(capsys: pytest.CaptureFixture[str]) -> None:
    table = describe("resnet18")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "resnet18 · one picture of 224 × 224",
        "stage    sides    operator                                       parameters  mult-adds",
        "conv1    112×112  7×7, 64, stride 2                                  9.54 k      118 M",
        "conv2_x  56×56    3×3 max pool, stride 2; [3×3, 64; 3×3, 64] ×2       148 k      462 M",
        "conv3_x  28×28    [3×3, 128; 3×3, 128] ×2                             526 k      411 M",
        "conv4_x  14×14    [3×3, 256; 3×3, 256] ×2                            2.10 M      411 M",
        "conv5_x  7×7      [3×3, 512; 3×3, 512] ×2                            8.39 M      411 M",
        "fc       1×1      average pool, 1000-d fc                             513 k      512 k",
        "total                                                                11.7 M     1.81 G",
    ]
    assert table.layout == "resnet"


@pytest.mark.parametrize(
    ("model", "headings"),
    [
        ("mobilenetv1", ["type / stride", "filter shape", "input", "n", "parameters", "mult-adds"]),
        ("mobilenetv2", ["input", "operator", "t", "c", "n", "s", "output", "parameters", "mult-adds"]),
        ("convnext_atto", ["stage", "operator", "input", "output", "parameters", "mult-adds"]),
    ],
)
def test_each_family_has_its_papers_columns(
    model: str, headings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    describe(model)
    lines = capsys.readouterr().out.splitlines()
    assert [heading.strip() for heading in lines[1].split("  ") if heading.strip()] == headings
    assert lines[-1].startswith("total")
    assert max(len(line.rstrip()) for line in lines) <= 100


def test_json_holds_exact_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    table = describe("mobilenetv2", size=128, format="json")
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(json.dumps(table.as_dict()))
    assert (told["size"], told["parameters"]) == (128, 3_504_872)
    assert told["rows"][0]["output_size"] == [32, 64, 64]


def test_what_cannot_be_described_is_refused() -> None:
    with pytest.raises(UsageError, match=r"There is no backbone 'resnet51'\. Did you mean 'resnet"):
        describe("resnet51")
    with pytest.raises(SettingError, match=r"A picture cannot be 0 pixels a side\. Pass size with 1 or more"):
        describe("resnet50", size=0)
    with pytest.raises(LinnaeaError, match="does not accept pictures of 96 pixels a side"):
        describe("vit_tiny_patch16_224", size=96)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (352_256, "352 k"),
        (999_600, "1.00 M"),
        (4_089_184_256, "4.09 G"),
    ],
)
def test_numbers_keep_three_figures(number: int, told: str) -> None:
    assert millions(number) == told


def test_models_lists_the_short_names_and_where_weights_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in models()}
    assert list(rows) == [
        "efficientnet_lite0",
        "vit_tiny",
        "vit_small",
        "dinov2_small",
        "dinov2_base",
        "mobilenetv1",
        "mobilenetv2",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
    ]
    assert rows["efficientnet_lite0"]["weights"] == "installed with Linnaea"
    assert rows["resnet50"] == {
        "name": "resnet50",
        "timm": "resnet50.tv_in1k",
        "size": 224,
        "megabytes": 102,
        "weights": "hub: timm/resnet50.tv_in1k",
        "purpose": None,
    }
    shown = capsys.readouterr()
    assert "resnet50        224  102  hub: timm/resnet50.tv_in1k" in shown.out
    chosen_from, by_name = shown.out.split("By name only:")
    assert "vit_tiny               224   23  learned from 21,000 kinds of things" in chosen_from
    assert "mobilenetv1" in by_name
    assert "and more than a thousand of timm's: linnaea models --search WORD" in shown.err


@pytest.mark.parametrize(
    ("typed", "printed"),
    [("describe resnet18 --size 64 --format json", "resnet18"), ("models", "mobilenetv1")],
)
def test_both_can_be_typed(typed: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    app = App(name="linnaea", result_action="return_value")
    for verb in ("describe", "models"):
        app.command(f"linnaea.commands.{verb}:{verb}", name=verb)
    app(typed.split(), exit_on_error=False)
    assert printed in capsys.readouterr().out


def test_models_searches_timms_names_too(capsys: pytest.CaptureFixture[str]) -> None:
    names = [row["name"] for row in models(search="MobileNetV2", format="json")]
    assert names[0] == "mobilenetv2"
    assert "mobilenetv2_140" in names
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == names
    with pytest.raises(UsageError) as caught:
        models(search="no_such_net")
    assert str(caught.value) == (
        "No network's name contains 'no_such_net'. linnaea models lists the short names."
    )
