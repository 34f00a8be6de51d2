import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from linnaea import text


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 classes"), (1, "1 class"), (2, "2 classes"), (21000, "21,000 classes"), (1.25, "1.25 classes")],
)
def test_a_count_agrees_with_its_noun(number, words):
    assert text.counted(number, "class", "classes") == words


def test_an_s_makes_the_plural_unless_another_word_is_given():
    assert text.plural(1, "picture") == "picture"
    assert text.plural(0, "picture") == "pictures"
    assert text.plural(2, "is", "are") == "are"


@pytest.mark.parametrize(
    ("names", "sentence", "table"),
    [
        ([], "", ""),
        (["a"], "a", "a"),
        (["a", "b"], "a and b", "a, b"),
        (["a", "b", "c"], "a, b and c", "a, b, c"),
        (["a", "b", "c", "d"], "a, b, c and 1 more", "a, b, c and 1 more"),
        (list("abcde"), "a, b, c and 2 more", "a, b, c and 2 more"),
    ],
)
def test_a_long_list_is_cut_and_the_rest_counted(names, sentence, table):
    assert text.listed(names, 3, " and ") == sentence
    assert text.listed(names, 3) == table


def test_people_count_2_before_10():
    names = ["a10", "a2", "a", "10", "a2 b", "a02", "9" * 5000, "B"]
    assert sorted(names, key=text.natural_order) == ["10", "9" * 5000, "B", "a", "a02", "a2", "a2 b", "a10"]
    assert text.classes_have(["c10", "c9"]) == "2 classes ('c9', 'c10') have"


def test_classes_begin_a_sentence():
    assert text.classes_have(["rose"]) == "The class 'rose' has"
    assert text.classes_have(["rose", "tulip"]) == "2 classes ('rose', 'tulip') have"


@pytest.mark.parametrize(
    ("share", "decimals", "words"),
    [(0.9674, 1, "96.7 %"), (1, 0, "100 %"), (0.12345, 2, "12.35 %"), (None, 1, "–")],
)
def test_a_share_is_written_in_percent(share, decimals, words):
    assert text.percent(share, decimals) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (90, "1 min 30 s"),
        (900, "15 min"),
        (3599.6, "1 h"),
        (7530, "2 h 6 min"),
        (86400, "24 h"),
    ],
)
def test_a_duration_is_written_as_people_write_it(seconds, words):
    assert text.duration(seconds) == words


def test_a_command_is_quoted_for_the_shell_that_reads_it():
    path = Path("runs", "x 1")
    assert text.command("linnaea", "resume", path, windows=False) == f"linnaea resume '{path}'"
    assert text.command("linnaea", "resume", path, windows=True) == f'linnaea resume "{path}"'


def test_what_is_printed_is_what_a_shell_runs():
    words = ["a b", "it's", 'say "x"', "$HOME", "back\\slash", "ü"]
    command = text.command(sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))", *words)
    printed = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
    assert printed.strip() == ascii(words)
    assert shlex.split(text.command(*words, windows=False)) == words


def test_an_option_is_named_as_whoever_called_passes_it():
    def texts():
        options = text.option("split", 0.7), text.option("overwrite", True), text.option("data_dir")
        return *options, text.elsewhere("another folder")

    assert texts() == ("split=0.7", "overwrite=True", "data_dir", "Choose another folder.")
    typed = text.command_line.set("linnaea train digits")
    try:
        assert texts() == (
            "--split 0.7",
            "--overwrite",
            "--data-dir",
            "Choose another folder with --out.",
        )
    finally:
        text.command_line.reset(typed)
