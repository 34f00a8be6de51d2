"""How often a test set was evaluated before, which makes its scores optimistic.

Each evaluation on a test set is a chance to prefer what happens to suit its pictures (Dwork et al. 2015, "The
reusable holdout"). Nobody counts them in their head, so a small ledger in the user's cache does: one file for
each test set, named by the hash of its pictures' content, so that a copied or renamed data set is recognised.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linnaea import files
from linnaea.data.downloads import cache_folder
from linnaea.errors import LinnaeaError
from linnaea.hashing import text_hash
from linnaea.runs.folder import RunFolder
from linnaea.runs.schema import Reuse

FORMAT_VERSION = 1
MOST_LISTED = 100
"""So many earlier runs are listed in run.json, the latest; all are counted."""
LEDGERS = "looks"  # the folder of the ledgers, and the key of their entries: other versions count there, too
PATIENCE = 10.0  # seconds to wait for another process that writes the same ledger


def count(run: RunFolder, hashes: Sequence[str]) -> Reuse:
    """Count that this run was evaluated on these test pictures; set and return run.json's key "test_reuse".

    hashes: of the content of each test picture, in any order

    A run that is counted already (evaluated again from the same start) is not counted twice; a new one in the
    same folder is. Below LINNAEA_CACHE, as every cache. Never raises for a ledger that cannot be
    read or written: a count is no reason to lose a run.
    """
    test_set = text_hash(sorted(hashes))
    entry = {"run": str(run.path.resolve()), "started": run.info.started}
    try:
        earlier = _entered(cache_folder() / LEDGERS / f"{test_set}.json", entry)
    except (OSError, ValueError, LinnaeaError):
        reuse = Reuse(earlier=None, runs=[], test_set=test_set)
    else:
        folders = [_shown(other["run"]) for other in earlier[-MOST_LISTED:]]
        reuse = Reuse(earlier=len(earlier), runs=folders, test_set=test_set)
    run.info.test_reuse = reuse
    return reuse


def _entered(ledger: Path, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Write a run into the ledger, and return the other entries."""
    import filelock

    ledger.parent.mkdir(parents=True, exist_ok=True)
    # Two runs that end together both count. (Timeout is an OSError.)
    with filelock.FileLock(ledger.with_name(f".{ledger.name}.lock"), timeout=PATIENCE):
        entries = _read(ledger)
        earlier = [other for other in entries if other != entry]
        if len(earlier) == len(entries):
            files.write_json(ledger, {"format_version": FORMAT_VERSION, LEDGERS: [*entries, entry]})
    return earlier


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


def _shown(folder: str) -> str:
    """Return a folder as it is called from here: a report may be shown to others, a home need not."""
    try:
        return str(Path(folder).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return folder
