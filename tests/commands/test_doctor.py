"""linnaea doctor: what is there, what can compute, and what should be updated."""

from importlib import metadata

import pytest
import torch

from linnaea.classifiers.finetune.device import Device
from linnaea.cli import main
from linnaea.commands.doctor import pillow_warning


def test_it_lists_versions_threads_and_devices(capsys):
    assert main(["doctor"]) == 0
    told = capsys.readouterr().err
    assert f"pillow                            {metadata.version('pillow')}" in told
    assert "compute thread" in told
    line = next(line for line in told.splitlines() if "cpu: " in line)
    assert f"({torch.backends.cpu.get_cpu_capability()}, " in line
    has_bfloat16 = Device(torch.device("cpu")).supports_bfloat16
    assert line.endswith(" · float32, bfloat16" if has_bfloat16 else " · float32")


@pytest.mark.parametrize(
    ("version", "warned"), [("12.3.0", True), ("9.5", True), ("13.0.0", False), ("", False)]
)
def test_a_pillow_whose_jpeg_decoder_can_be_overflowed_is_warned_of(version, warned):
    assert ("CVE-2026-112403" in pillow_warning(version)) == warned
