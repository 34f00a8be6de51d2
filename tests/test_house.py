"""The rules of the house that a machine can check: who imports whom, how long things may be."""

import ast
import dataclasses
import inspect
import subprocess
import sys
from importlib import import_module
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_a_file_holds_one_idea_and_a_function_fits_on_a_screen(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            documented = len((ast.get_docstring(node, clean=False) or "").splitlines())
            assert node.end_lineno - node.lineno + 1 - documented <= 60, node.name


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_command_has_at_most_25_options(verb):
    parameters = inspect.signature(getattr(import_module(f"linnaea.commands.{verb}"), verb)).parameters
    flattened = len(dataclasses.fields(CommonSettings)) - 1 if "settings" in parameters else 0
    assert len(parameters) + flattened <= 25


@pytest.mark.parametrize("name", linnaea.__all__)
def test_every_public_name_is_there(name):
    assert getattr(linnaea, name) is not None


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'linnaea' has no attribute 'trian'"):
        linnaea.trian  # noqa: B018 (the look-up is the test)
