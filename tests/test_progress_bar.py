"""A progress bar moves where somebody watches it, and is one line of a log file."""

import time

from linnaea.progress_bar import ProgressBar


def test_in_a_file_it_is_one_line_with_its_last_state(capsys):
    with ProgressBar("Epoch", 4, unit="steps", done=1, passing=True) as bar:
        for loss in (0.5, 0.25):
            bar.show(loss=loss)
            bar.update()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Epoch ")
    assert "3/4 steps" in line
    assert line.rstrip().endswith("loss 0.25")


def test_what_is_for_people_who_wait_is_not_in_a_file(capsys):
    with ProgressBar("Scan", 2, patient=True) as bar:
        bar.update()
        time.sleep(1.1)
        bar.update()
    assert capsys.readouterr().err == ""


def test_on_a_terminal_it_appears_once_the_work_is_long(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal, says rich
    with ProgressBar("Short", 2, patient=True) as bar:
        bar.update()
    with ProgressBar("Long", 2, unit="pictures", patient=True, passing=True) as bar:
        bar.update()
        time.sleep(1.1)
        bar.update()
    shown = capsys.readouterr().err
    assert "Short" not in shown
    assert "Long" in shown


def test_one_that_is_not_shown_prints_nothing(capsys):
    with ProgressBar("Epoch", 2, shown=False) as bar:
        bar.total = 3
        bar.show(loss=1.0)
        bar.update()
        bar.reset()
        bar.close()
    assert capsys.readouterr().err == ""
