"""How often a test set was opened before, by this run and by others, which makes its scores optimistic.

Each evaluation on a test set is a chance to prefer what happens to suit its pictures (Dwork et al. 2015, "The
reusable holdout"). Nobody counts them in their head, so a small ledger in the user's cache does: one file for
each test set, named by the hash of its pictures' content, so that a copied or renamed data set is recognised.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from linnaea import files
from linnaea.data.downloads import cache_folder
from linnaea.errors import LinnaeaError
from linnaea.hashing import text_hash
from linnaea.runs import provenance
from linnaea.runs.folder import NETWORK, RunFolder
from linnaea.runs.schema import Opening, Reuse

FORMAT_VERSION = 1
MOST_LISTED = 100
"""So many earlier runs are listed in run.json, the latest; all are counted."""
LEDGERS = "looks"  # the folder of the ledgers, and the key of their entries: other versions count there, too
PATIENCE = 10.0  # seconds to wait for another process that writes the same ledger


def count(run: RunFolder, hashes: Sequence[str]) -> Reuse:
    """Count that this run was evaluated on these test pictures; set and return run.json's key "test_reuse".

    hashes: of the content of each test picture, in any order

    A network that is counted already (a run that was killed as it was evaluated, and continued to the same
    weights) is not counted twice; one that was trained on is, though the same epoch was kept. Below
    LINNAEA_CACHE, as every cache. Never raises for a ledger that cannot be read or written: a count is no
    reason to lose a run.
    """
    test_set = text_hash(sorted(hashes))
    own = _openings(run, test_set)
    entry = {
        "run": str(run.path.resolve()),
        "started": run.info.started,
        "at": own[-1].at,
        "network": own[-1].network,
        "epoch": own[-1].epoch,
    }
    try:
        others = _entered(cache_folder() / LEDGERS / f"{test_set}.json", entry)
    except (OSError, ValueError, LinnaeaError):
        reuse = Reuse(earlier=None, runs=[], test_set=test_set, own=own)
    else:
        listed = [_shown(other) for other in others[-MOST_LISTED:]]
        reuse = Reuse(earlier=len(others), runs=listed, test_set=test_set, own=own)
    run.info.test_reuse = reuse
    return reuse


def _openings(run: RunFolder, test_set: str) -> list[Opening]:
    """Return when this run opened its test set, now as the last."""
    before = run.info.test_reuse
    own = [] if before is None or before.test_set != test_set else list(before.own)
    network = text_hash([run.info.checksums.get(name, "") for name in NETWORK])
    history = run.history()
    now = Opening(at=provenance.now(), epoch=int(history[-1]["epoch"]) if history else None, network=network)
    # A run that was trained on may keep the epoch that it had: the score was known all the same.
    earlier = [each for each in own if (each.network, each.epoch) != (now.network, now.epoch)]
    return [*earlier, now]


def _entered(ledger: Path, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Write an opening into the ledger, and return those of other runs."""
    import filelock

    ledger.parent.mkdir(parents=True, exist_ok=True)
    # Two runs that end together both count. (Timeout is an OSError.)
    with filelock.FileLock(ledger.with_name(f".{ledger.name}.lock"), timeout=PATIENCE):
        entries = _read(ledger)
        if not any(_is_same(other, entry, "run", "started", "network", "epoch") for other in entries):
            files.write_json(ledger, {"format_version": FORMAT_VERSION, LEDGERS: [*entries, entry]})
    return [other for other in entries if not _is_same(other, entry, "run", "started")]


def _is_same(first: dict[str, Any], second: dict[str, Any], *keys: str) -> bool:
    return all(first.get(key) == second.get(key) for key in keys)


def _read(ledger: Path) -> list[dict[str, Any]]:
    """Return the entries of a ledger, none where there is no file yet. Raises ValueError for another form."""
    try:
        content = json.loads(ledger.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    entries = content.get(LEDGERS) if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "run" in e for e in entries):
        # Not overwritten: what somebody else's version counted would be lost.
        raise ValueError(f"{ledger} is not a ledger of evaluations")
    return entries


def _shown(opening: dict[str, Any]) -> str:
    """Return a folder as it is called from here, and when its run opened the test set.

    A report may be shown to others, a home need not.
    """
    folder = str(opening["run"])
    with suppress(ValueError, OSError):
        folder = str(Path(folder).relative_to(Path.cwd()))
    # Older versions wrote down when a run began.
    at = opening.get("at") or opening.get("started")
    return f"{folder}, {at[:16].replace('T', ' ')} UTC" if isinstance(at, str) else folder
