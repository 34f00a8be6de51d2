"""Files saved by torch that would take more memory than their size, or name more than tensors need."""

import pickle
import re
import struct
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from linnaea.classifiers.finetune import weights
from linnaea.classifiers.finetune.weights import read_weights
from linnaea.errors import LinnaeaError


def saved(path: Path, value: object, **how: bool) -> Path:
    torch.save(value, path, **how)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(LinnaeaError) as caught:
        read_weights(path)
    return str(caught.value)


def repacked(path: Path, edit: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write a file of torch's again as a zip made by somebody else, its members changed."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, edit(name, content))


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_read_bit_for_bit(tmp_path: Path, zipped: bool) -> None:
    tensors = {
        "a.weight": torch.arange(6.0).reshape(2, 3).T,
        "half": torch.tensor([0.1], dtype=torch.float16),
        "brain": torch.tensor([0.1], dtype=torch.bfloat16),
        "count": torch.tensor(3),
        "none": torch.empty(0),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    checkpoint = {"state_dict": OrderedDict(tensors), "epoch": 3, "milestones": Counter([1]), "done": {1}}
    read = read_weights(saved(tmp_path / "a.pth", checkpoint, _use_new_zipfile_serialization=zipped)).tensors
    assert read.keys() == tensors.keys()
    for name, value in tensors.items():
        assert torch.equal(read[name], value)
        assert read[name].dtype == value.dtype


def test_a_compressed_member_is_refused_by_the_directory(tmp_path: Path) -> None:
    path = saved(tmp_path / "bomb.pth", {"a": torch.zeros(1_000_000)})
    repacked(path, lambda _, content: content, zipfile.ZIP_DEFLATED)
    assert re.search(
        r"bomb\.pth holds bomb/\S+ compressed \([\d,]+ bytes that become [\d,]+\), and torch stores weights "
        r"as they are\. Save network\.state_dict\(\) with torch\.save, or pass a \.safetensors file\.$",
        refusal(path),
    )


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    # Entries of the directory that all point at one member: the file announces more than it has.
    path = saved(tmp_path / "bomb.pth", {"a": torch.zeros(1000)})
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
        entries = len(archive.infolist())
    end = content.rindex(b"PK\5\6")
    # Without the records of zip64, which torch writes and smaller archives do without.
    directory = content[start:end].partition(b"PK\6\6")[0] * 100
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 100 * entries, 100 * entries, len(directory), start, 0)
    path.write_bytes(content[:start] + directory + tail)
    assert re.search(r"bomb\.pth announces [\d,]+ bytes of weights and has [\d,]+\. Download", refusal(path))


def test_a_tensor_longer_than_its_member_reads_nothing_beyond_the_file(tmp_path: Path) -> None:
    # The pickle says how long a storage is; torch by itself would read what lies behind it in memory.
    path = saved(tmp_path / "long.pth", {"a": torch.ones(7)})

    def longer(name: str, content: bytes) -> bytes:
        # BININT1 7, twice: the storage's length and the tensor's.
        return content.replace(b"K\7", b"M\xff\xff") if name.endswith("data.pkl") else content

    repacked(path, longer)
    assert "could not be read as weights saved by torch (RuntimeError: " in refusal(path)


def pickled(module: str, name: str, argument: bytes) -> bytes:
    """Return a pickle that calls module.name with one argument, as sixty bytes of an attacker would."""
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + argument + b"\x85R."


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "bytearray"),
        ("__builtin__", "bytearray"),
        ("torch", "Tensor"),
        ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"),
        ("os", "system"),
    ],
)
def test_a_call_that_could_ask_for_all_memory_is_not_made(
    tmp_path: Path, module: str, name: str, zipped: bool
) -> None:
    # LONG1 of eight bytes: 2**60. torch itself would try to make it, and die of it.
    bomb = pickled(module, name, b"\x8a\x08" + struct.pack("<q", 2**60))
    path = tmp_path / "bomb.pth"
    if zipped:
        saved(path, {"a": torch.ones(1)})
        repacked(path, lambda inside, content: bomb if inside.endswith("data.pkl") else content)
    else:
        head = [pickle.dumps(value, protocol=2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
        path.write_bytes(b"".join(head) + bomb + pickle.dumps([], protocol=2))
    assert "bomb.pth holds something other than tensors, or is damaged, and was not opened" in refusal(path)


def test_names_without_end_are_refused_by_their_length(tmp_path: Path, monkeypatch) -> None:
    path = saved(tmp_path / "long.pth", {"a" * 5000: torch.ones(1)})
    monkeypatch.setattr(weights, "MAX_PICKLE", 4000)
    assert re.search(r"long\.pth holds 5,\d+ bytes of names and shapes; the limit is 4,000\.", refusal(path))


def test_a_tensor_that_repeats_one_number_takes_no_memory(tmp_path: Path) -> None:
    # A stride of zero: 2**40 numbers on four bytes. Nothing may copy it before its shape was looked at.
    path = saved(tmp_path / "wide.pth", {"a": torch.ones(1).expand(2**40)})
    assert read_weights(path).tensors["a"].shape == (2**40,)


class Hidden:
    """What is read as an OrderedDict with attributes in the place of its methods."""

    def __reduce__(self) -> tuple:
        return OrderedDict, (), {"items": 3, "get": 4}, None, iter([("a", torch.ones(1))])


def test_a_dict_whose_attributes_hide_its_methods_is_read_all_the_same(tmp_path: Path) -> None:
    assert read_weights(saved(tmp_path / "odd.pth", Hidden())).tensors.keys() == {"a"}
