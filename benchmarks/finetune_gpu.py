"""Pictures a second of fine-tuning on a CUDA GPU beside the bare step, batches prepared ahead and not.

The bare step and the loop are those of finetune_throughput, here with more pictures. They lie on the GPU, in
the machine's memory, or in the cache on its disk; from the last two they are cropped by the processor.
"""

import statistics
import tempfile
from pathlib import Path

import torch

from benchmarks.finetune_throughput import BATCH, BareStep, WholeLoop, write_pictures

BACKBONES = ("mobilenetv2", "resnet50", "vit_small_patch16_224")
PICTURES, ROUNDS = 512, 5
PLACES = ("GPU", "memory", "disk")


def placed(whole: WholeLoop, paths: list[Path], place: str, ahead: bool) -> None:
    """Let the loop take its pictures from a place, the next batch prepared ahead or not."""
    from linnaea.classifiers.finetune.pictures import ResidentPictures, decoded, sequence_of

    how = whole.part.pictures.preprocessing, whole.part.pictures.device
    kind = type("Pictures", (ResidentPictures,), {"ahead": ahead})
    if place == "disk":
        whole.part.pictures = kind(sequence_of(paths, how[0], keep=True), *how)
        return
    pictures = list(decoded(paths, how[0]))
    whole.part.pictures = kind([one.to(how[1]) for one in pictures] if place == "GPU" else pictures, *how)


def main() -> None:
    """Print one table: network, precision, the bare step, and the loop from each place without and with."""
    if not torch.cuda.is_available():
        print("There is no CUDA GPU here: nothing is measured.")
        return
    print(f"{torch.cuda.get_device_name()}, {BATCH} pictures a batch, pictures a second")
    ways = [(place, ahead) for place in PLACES for ahead in (False, True)]
    heads = "".join(f"{place + (', ahead' if ahead else ''):>15}" for place, ahead in ways)
    print(f"{'':22} {'precision':10} {'bare step':>10}{heads}")
    with tempfile.TemporaryDirectory() as folder:
        paths = write_pictures(Path(folder), PICTURES)
        for name in BACKBONES:
            whole = WholeLoop(name, paths)
            whole.decoding = 0.0
            bare = BareStep(name, whole.precision)
            taken: list[list[float]] = []
            for _ in range(ROUNDS + 1):
                seconds = [bare.seconds(PICTURES)]
                for place, ahead in ways:
                    placed(whole, paths, place, ahead)
                    seconds.append(whole.seconds())
                taken.append(seconds)
            # The first round chooses kernels.
            speeds = [PICTURES / statistics.median(times) for times in zip(*taken[1:], strict=True)]
            loop = "".join(f"{speed:15.0f}" for speed in speeds[1:])
            print(f"{name:22} {whole.precision:10} {speeds[0]:10.0f}{loop}", flush=True)


if __name__ == "__main__":
    main()
