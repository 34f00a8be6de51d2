"""The rules of the house that a machine can check: who imports whom, how long things may be."""

import ast
import dataclasses
import inspect
import itertools
import re
import subprocess
import sys
import tomllib
import warnings
from fnmatch import fnmatch
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import linnaea
from linnaea.cli import COMMANDS
from linnaea.runs.settings import CommonSettings

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "src").rglob("*.py"))


def test_no_room_reaches_back():
    ran = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "0 broken" in ran.stdout


def test_the_longest_files_and_functions_are_named():
    """No rule: whether a long one holds one idea is for a reader to say, so this only warns."""
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > 600:
            warnings.warn(f"{path.name} has {lines} lines: does it hold one idea?", stacklevel=1)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                documented = len((ast.get_docstring(node, clean=False) or "").splitlines())
                if (lines := node.end_lineno - node.lineno + 1 - documented) > 80:
                    warnings.warn(f"{path.name}: {node.name} has {lines} lines", stacklevel=1)


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_command_has_at_most_25_options(verb):
    parameters = inspect.signature(getattr(import_module(f"linnaea.commands.{verb}"), verb)).parameters
    flattened = len(dataclasses.fields(CommonSettings)) - 1 if "settings" in parameters else 0
    assert len(parameters) + flattened <= 25


def test_the_map_names_every_file_and_no_other():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    mapped, rooms = [], []
    for line in text.split("## Where is what")[1].split("Beside it")[0].splitlines():
        if entry := re.match(r" {4}( *)(\S.*)", line):
            del rooms[len(entry[1]) // 2 :]  # two spaces deeper is one folder deeper
            if folder := re.match(r"([\w/]+)/(  |$)", entry[2]):
                rooms.append(folder[1])
            else:
                # Names first, with a dot between them; what they are for follows after two spaces.
                mapped += ["/".join([*rooms, name]) for name in entry[2].split("  ")[0].split(" · ")]
    missing = [pattern for pattern in mapped if not any(ROOT.glob(pattern))]
    assert missing == []
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "src" / "linnaea").rglob("*.*")]
    unmapped = [file for file in files if not any(fnmatch(file, pattern) for pattern in mapped)]
    assert [file for file in unmapped if not re.search(r"__pycache__|\w/\w+/__init__|py\.typed", file)] == []


def test_what_the_walks_and_the_answers_name_is_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    sections = [
        text.split(f"## {title}\n")[1].split("\n## ")[0]
        for title in ("A newcomer's questions", "Three walks")
    ]
    spans = re.findall(r"`([^`]+)`", "".join(sections))
    sources = {path.relative_to(ROOT / "src" / "linnaea").as_posix(): path for path in FILES}
    named = [span for span in spans if re.fullmatch(r"[a-z_]+\.(?!csv|json|html|py$)_?[A-Za-z_]+", span)]
    assert len(named) > 10
    for span in named:
        module, name = span.split(".")
        found = [path for place, path in sources.items() if place.endswith(f"{module}.py")]
        defined = re.compile(rf"^(def|class) {name}\b", re.MULTILINE)
        assert any(defined.search(path.read_text(encoding="utf-8")) for path in found), span
    assert [span for span in spans if span.endswith(".py") and span not in sources] == []


def test_whatever_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[<>=\[]", entry)[0].lower().replace("-", "_") for entry in wanted}
    imported = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).split(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"linnaea"}
    distributions = packages_distributions()
    names = {module: {name.lower().replace("-", "_") for name in distributions[module]} for module in foreign}
    assert [module for module, owners in names.items() if not owners & declared] == []


@pytest.mark.parametrize("name", linnaea.__all__)
def test_every_public_name_is_there(name):
    assert getattr(linnaea, name) is not None


def test_public_names_are_those_that_are_imported_on_first_use():
    assert {*linnaea._PUBLIC, "__version__"} == set(linnaea.__all__)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'linnaea' has no attribute 'trian'"):
        linnaea.trian  # noqa: B018 (the look-up is the test)
