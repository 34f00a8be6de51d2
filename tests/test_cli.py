import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import linnaea
from linnaea.cli import COMMANDS, main

LINNAEA = [sys.executable, "-m", "linnaea"]


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_list_of_commands_says_what_each_docstring_says(verb):
    function = getattr(importlib.import_module(f"linnaea.commands.{verb}"), verb)
    assert function.__doc__.splitlines()[0] == COMMANDS[verb]


def test_help_loads_nothing_heavy():
    heavy = ("numpy", "torch", "sklearn", "keras", "altair", "PIL", "pandas")
    code = (
        "import sys; from linnaea.cli import main; main(['--help']); "
        f"sys.exit(' '.join(m for m in {heavy!r} if m in sys.modules) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["settings"],
        ["models"],
        ["help", "train"],
        ["train", "nowhere"],
        ["train", "digits", "--epocs", "5"],
        ["train", "digits", "--epochs", "many"],
        ["train", "digits", "--repeats", "2", "--folds", "2"],
        ["train", "{unclear}"],
    ],
)
def test_what_needs_no_network_loads_none(arguments, tmp_path):
    # Either may be the classes, the sites or what they hold.
    for site in ("north", "south"):
        for kind in ("cat", "dog"):
            (tmp_path / site / kind).mkdir(parents=True)
            (tmp_path / site / kind / "1.png").write_bytes(b"")
    arguments = [word.format(unclear=tmp_path) for word in arguments]
    code = (
        f"import sys; from linnaea.cli import main; main({arguments!r}); "
        "print(*sorted({'torch', 'timm', 'sklearn', 'scipy', 'pandas', 'altair'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0
    assert ran.stdout.splitlines()[-1] == "", ran.stderr


def test_help_may_be_asked_for_in_words(capsys):
    asked = []
    for words in (["help"], ["--help"], ["help", "open"], ["open", "--help"]):
        assert main(words) == 0
        asked.append(capsys.readouterr().out)
    assert asked[0] == asked[1] != asked[2] == asked[3]
    assert "--install-completion" in asked[0]


@pytest.mark.parametrize(
    ("arguments", "formats"),
    [
        (["predict", "run", "a.jpg"], '"table", "csv", "json", "jsonl"'),
        (["check", "photos"], '"table", "json"'),
        (["evaluate", "run"], '"table", "json"'),
        (["settings"], '"table", "json", "markdown"'),
    ],
)
def test_a_wrong_format_is_answered_with_those_that_there_are(arguments, formats, capsys):
    assert main([*arguments, "--format", "xml"]) == 2
    sentence = f'Error: Invalid value "xml" for --format. Choose from: {formats}.'
    assert capsys.readouterr().err == f"{sentence} Help: linnaea --help, or linnaea COMMAND --help.\n"


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == linnaea.__version__


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["trian", "x"], 2, 'Unknown command "trian". Did you mean "train"?'),
        (["train", "digits", "--hiden", "5"], 2, "There is no setting 'hiden'. Did you mean 'hidden'"),
        (["train", "digits", "--hiden"], 2, "There is no setting 'hiden'. Did you mean 'hidden'"),
        (
            ["train", "digits", "--batch-sise", "--epochs", "3"],
            2,
            "There is no setting 'batch_sise'. Did you mean 'batch_size'",
        ),
        (["train", "digits", "--dropout"], 2, "--dropout requires an argument."),
        (
            ["train", "digits", "--epochs", "many"],
            2,
            "epochs must be an integer of 0 or more; received 'many'.",
        ),
        (
            ["train", "digits", "--epochs", "2.7"],
            2,
            "epochs must be an integer of 0 or more; received '2.7'.",
        ),
        (
            ["train", "digits", "--epochs", "x", "--solver", "adm", "--dropout", "1"],
            2,
            "epochs must be an integer of 0 or more; received 'x'. solver 'adm' is not known. Did you mean "
            "'adam' or 'adamw'? dropout must be a number from 0 to below 1; received 1.",
        ),
        (
            ["train", "digits", "--model", "resnet50", "--size", "16", "--epochs=-1"],
            2,
            "epochs must be an integer of 0 or more; received -1.",
        ),
        (
            ["train", "digits", "--model", "resnet50", "--size", "16"],
            2,
            "size must be an integer from 32 to 2,048; received 16.",
        ),
        (
            ["predict", "run", "a.jpg", "--coverage", "much"],
            2,
            "--coverage must be a number; received 'much'.",
        ),
        (["describe", "resnet50", "--size", "big"], 2, "--size must be an integer; received 'big'."),
        (
            ["describe", "resnet50", "--format", "csv"],
            2,
            'Invalid value "csv" for --format. Choose from: "table", "json".',
        ),
        (
            ["models", "--format", "xml"],
            2,
            'Invalid value "xml" for --format. Choose from: "table", "json".',
        ),
        (["train", "digits", "--epochs=-1"], 2, "epochs must be an integer of 0 or more; received -1."),
        (
            ["train", "digits", "--hidden", "-5"],
            2,
            "hidden must be integers of 1 or more; received -5. Give the units of each hidden layer, 500,500 "
            "for two layers.",
        ),
        (
            ["train", "digits", "--hidden", "500,,5"],
            2,
            "hidden must be integers of 1 or more; received '500,,5'.",
        ),
        (["train", ""], 2, "The name of the data is empty."),
        (
            ["train", "digits", "--set", "patience=2", "--validation", "0"],
            2,
            "patience is 2, and no picture is set aside for validation.",
        ),
        (
            ["train", "digits", "--set", "dropuot=0.1"],
            2,
            "There is no setting 'dropuot'. Did you mean 'dropout'",
        ),
        (["train", "digits", "--model", "mpl"], 2, "There is no model 'mpl'. Did you mean 'mlp'?"),
        (["train", "digist"], 2, "There is no data set or folder 'digist'. Did you mean 'digits'"),
        (["train", "digits", "--recipe", "part1-twohidden"], 2, "Did you mean 'part1-two-hidden'"),
        (["reproduce", "part9"], 2, "There is no part 'part9' to reproduce."),
        (["report", "nowhere"], 1, "nowhere is not a run folder (no run.json in it)."),
        (["compare"], 2, "requires an argument"),
    ],
)
def test_what_was_asked_wrongly_is_one_sentence_and_leaves_nothing(
    arguments, code, sentence, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    told = capsys.readouterr().err
    assert told.startswith("Error: ")
    assert sentence in told
    assert "Traceback" not in told
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_keras_refuses_a_setting_it_does_not_have(capsys, tmp_path):
    code = main(["train", "digits", "--model", "keras", "--augment", "digits", "--out", str(tmp_path / "a")])
    assert code == 2
    assert "The model keras has no setting augment." in capsys.readouterr().err


def test_debug_shows_the_whole_story(tmp_path):
    with pytest.raises(linnaea.LinnaeaError):
        main(["--debug", "report", str(tmp_path)])


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_as_interrupted_with_a_readable_report(sent, code, tmp_path):
    run = tmp_path / "run"
    command = [*LINNAEA, "train", "digits", "--hidden", "20", "--epochs", "5000", "--out", str(run)]
    # One thread: on a busy machine, BLAS threads that wait for each other would make this slow.
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 60
    while not (run / "history.jsonl").exists() or len((run / "history.jsonl").read_text().splitlines()) < 4:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(sent)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == code, told
    assert "Traceback" not in told
    info = json.loads((run / "run.json").read_text())
    assert info["state"] == "interrupted"
    assert "nterrupted" in (run / "report.html").read_text()
    epochs = len((run / "history.jsonl").read_text().splitlines()) - 1
    assert info["message"] == f"Interrupted after epoch {epochs}."
    # What was learned so far is there and can be used.
    assert linnaea.load(run).predict_proba([[0.0] * 784]).shape == (1, 10)
    assert "the test set stays unopened; to open it now: linnaea evaluate" in " ".join(told.split())
    assert not (run / "metrics.json").exists()


SETTINGS_PAGE = ["settings", "--format", "markdown"]


def test_files_and_pipes_get_utf_8_whatever_the_console_is_of():
    """As on Windows, where a pipe is of the old code page."""
    for encoding in ("cp1252", "ascii"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        ran = subprocess.run([*LINNAEA, *SETTINGS_PAGE], capture_output=True, env=environment, check=False)
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert "–" in ran.stdout.decode("utf-8")


@pytest.mark.skipif(os.name == "nt", reason="consoles there have all letters")
def test_a_console_gets_what_it_can_show():
    ours, theirs = os.openpty()
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "200"}
    process = subprocess.Popen(
        [*LINNAEA, "train", "digits", "--μ", "1"], stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    told = b""
    with contextlib.suppress(OSError):  # the end, on Linux
        while piece := os.read(ours, 1 << 16):
            told += piece
    os.close(ours)
    assert process.wait() == 2
    assert b"There is no setting '\\u03bc'" in told


def test_a_warning_is_a_line_without_the_source_of_a_library():
    code = (
        "import sys, linnaea.cli as cli\ndef fault(tokens):\n import warnings\n warnings.warn('few  of it')\n"
    )
    code += " return 0\ncli._run = fault\nsys.exit(cli.main())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "Note      few of it\n")


@pytest.mark.skipif(os.name == "nt", reason="the system has no such limits")
@pytest.mark.parametrize(
    ("limit", "most", "arguments", "sentence"),
    [
        (
            "RLIMIT_AS",
            200 << 20,
            ["train", "digits"],
            "Error: There is not enough memory. Close other programs, or ",
        ),
        (
            "RLIMIT_FSIZE",
            0,
            ["settings"],
            "Error: What is printed could not be written (File too large). Raise the limit on the size of",
        ),
    ],
)
def test_a_limit_of_the_system_is_one_sentence(limit, most, arguments, sentence, tmp_path):
    """As of ulimit -v and -f, while modules are loaded and where the output goes to a file."""
    script = (
        f"import resource, sys; resource.setrlimit(resource.{limit}, ({most}, resource.RLIM_INFINITY));"
        "import linnaea.cli as cli; sys.exit(cli.main())"
    )
    with open(tmp_path / "output", "w", encoding="utf-8") as output:
        ran = subprocess.run(
            [sys.executable, "-c", script, *arguments, *(["--out", str(tmp_path / "r")] if most else [])],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ran.returncode == 1
    assert " ".join(ran.stderr.split()).startswith(sentence), ran.stderr
    assert ran.stderr.count("\n") == 1
