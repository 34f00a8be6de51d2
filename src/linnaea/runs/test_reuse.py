"""What weighs on a test score: how often the test part was looked at before.

Each look at a test part is a chance to prefer what happens to suit its pictures (Dwork et al. 2015, "The
reusable holdout"). Nobody counts them in their head, so a small ledger in the person's cache does: one file a
test part, named by the hash of its pictures' content, so that a copied or renamed data set is known again.
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

FORMAT_VERSION = 1
MOST_NAMED = 100
"""So many earlier runs are named in run.json, the latest; all are counted."""
PATIENCE = 10.0  # seconds to wait for another process that writes the same ledger


def look(run: RunFolder, hashes: Sequence[str]) -> dict[str, Any]:
    """Count that this run judged these test pictures; set and return run.json's key "looks".

    {"earlier": how many runs judged this very test part before (None: it could not be counted),
    "runs": their folders, the latest last, at most MOST_NAMED, "test_part": the hash they share}

    hashes: of the content of each test picture, in any order

    A run that is counted already (judged again from the same start) is not counted twice; one that was made
    anew in the same folder is. Below LINNAEA_CACHE, as every cache. Never raises for a ledger that cannot be
    read or written: a count is no reason to lose a run.
    """
    part = text_hash(sorted(hashes))
    own = {"run": str(run.path.resolve()), "started": run.info.started}
    try:
        earlier = _entered(cache_folder() / "looks" / f"{part}.json", own)
    except (OSError, ValueError, LinnaeaError):
        looks: dict[str, Any] = {"earlier": None, "runs": [], "test_part": part}
    else:
        folders = [_shown(entry["run"]) for entry in earlier[-MOST_NAMED:]]
        looks = {"earlier": len(earlier), "runs": folders, "test_part": part}
    run.update_info(looks=looks)
    return looks


def sentence(looks: dict[str, Any] | None) -> str:
    """Return run.json's "looks" in words, "" where an older run did not count."""
    if not looks:
        return ""
    earlier = looks.get("earlier")
    if not isinstance(earlier, int):
        return "How often this test part was judged before could not be counted."
    if earlier == 0:
        return "This is the first run on this computer that judged this test part."
    one = earlier == 1
    return (
        f"{'1 earlier run has' if one else f'{earlier:,} earlier runs have'} judged this very test part: if "
        f"{'its score' if one else 'their scores'} decided anything about this one, the score flatters."
    )


def _entered(ledger: Path, own: dict[str, Any]) -> list[dict[str, Any]]:
    """Write a run into the ledger, and return what stood there of others."""
    import filelock

    ledger.parent.mkdir(parents=True, exist_ok=True)
    # Two runs that end together both count. (Timeout is an OSError.)
    with filelock.FileLock(ledger.with_name(f".{ledger.name}.lock"), timeout=PATIENCE):
        known = _read(ledger)
        earlier = [entry for entry in known if entry != own]
        if len(earlier) == len(known):
            files.write_json(ledger, {"format_version": FORMAT_VERSION, "looks": [*known, own]})
    return earlier


def _read(ledger: Path) -> list[dict[str, Any]]:
    """Return the entries of a ledger, none where there is no file yet. Raises ValueError for another form."""
    try:
        content = json.loads(ledger.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    entries = content.get("looks") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "run" in e for e in entries):
        # Not overwritten: what somebody else's version counted would be lost.
        raise ValueError(f"{ledger} is no ledger of looks")
    return entries


def _shown(folder: str) -> str:
    """Return a folder as it is called from here: a report may be shown to others, a home need not."""
    try:
        return str(Path(folder).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return folder
