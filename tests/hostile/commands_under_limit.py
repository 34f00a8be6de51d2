"""Run linnaea commands in this process under a limit of memory: python -m … BYTES ANSWER PIXELS < JSON.

stdin: JSON, a list of argument lists. ANSWER: the file for JSON, a list of {"code", "out", "err"}.
PIXELS: how many pixels may be decoded at once; 0 leaves it as it is.
"""

import contextlib
import importlib
import io
import json
import os
import resource
import sys
from pathlib import Path

# As cli.main does; here Pillow is imported before it.
os.environ.setdefault("PILLOW_BLOCK_SIZE", "64m")

from linnaea import cli
from linnaea.data import decoding


def _data_bytes() -> int:
    """What the process has mapped and may write to, which is what RLIMIT_DATA counts (proc(5), VmData)."""
    return int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024


def main() -> None:
    """Run each command as a terminal would; the limit counts from what the imports took."""
    growth, answer, pixels = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    if pixels:
        decoding.MAX_PIXELS, decoding._ALLOWANCE = pixels, decoding.Allowance(pixels)
    commands = json.load(sys.stdin)
    for name in {command[0] for command in commands} | {"terminal"}:
        importlib.import_module(f"linnaea.commands.{name}")
    for name in ("scipy.linalg.blas", "sklearn.metrics", "altair"):
        importlib.import_module(name)
    limit = _data_bytes() + growth
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    told = []
    for command in commands:
        out, err = io.StringIO(), io.StringIO()
        terminal = sys.modules["linnaea.commands.terminal"]
        terminal.messages.file, terminal.results.file = err, out
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(command)
        told.append({"code": code, "out": out.getvalue(), "err": err.getvalue()})
    answer.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
