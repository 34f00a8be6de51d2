"""Run all benchmarks, or the named ones: `python -m benchmarks [name ...]`."""

import importlib
import pkgutil
import sys

import benchmarks


def names() -> list[str]:
    """Return the modules of this package that have a main(), in order."""
    found = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_"))
    return [name for name in found if hasattr(importlib.import_module(f"benchmarks.{name}"), "main")]


def run(wanted: list[str]) -> int:
    """Run the named benchmarks, all if none is named; return the exit code."""
    known = names()
    if unknown := [name for name in wanted if name not in known]:
        print(f"There is no benchmark {', '.join(unknown)}. Known are: {', '.join(known)}.", file=sys.stderr)
        return 2
    for name in wanted or known:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n{name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        module.main()
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
