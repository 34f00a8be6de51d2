"""linnaea open hands a page to the browser, or says where it lies."""

import os
import shlex
import subprocess
import sys

import pytest

from linnaea.cli import main


@pytest.fixture
def browse(tmp_path):
    """Run linnaea open with a browser that writes down what it is asked to show."""
    seen = tmp_path / "seen.txt"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {shlex.quote(str(seen))}\n')
    browser.chmod(0o755)

    def opened(path, **environment):
        ran = subprocess.run(
            [sys.executable, "-m", "linnaea", "open", str(path)],
            env={**os.environ, "BROWSER": str(browser), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return ran, seen.read_text().strip() if seen.exists() else None

    return opened


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script is no browser there")
def test_the_page_of_a_run_is_shown(trained, browse):
    ran, seen = browse(trained)
    assert ran.returncode == 0, ran.stderr
    assert seen == (trained / "report.html").as_uri()
    assert ran.stdout.strip() == str(trained / "report.html")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a display there")
def test_without_a_display_the_path_is_printed(folds, tmp_path, capsys, monkeypatch):
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folds.parent)
    assert main(["open", "three"]) == 1
    printed = capsys.readouterr()
    assert printed.out.strip() == "three/report.html"
    assert "There is no browser here, or no display for one." in printed.err
    page = tmp_path / "check.html"
    page.write_text("x")
    assert main(["open", str(page)]) == 1
    assert capsys.readouterr().out.strip() == str(page)


def test_what_has_no_page_is_refused(trained, tmp_path, capsys):
    assert main(["open", str(tmp_path)]) == 1
    assert "is not a run folder" in capsys.readouterr().err
    (tmp_path / "run.json").write_bytes((trained / "run.json").read_bytes())
    assert main(["open", str(tmp_path)]) == 1
    assert f"Draw it: linnaea report {tmp_path}" in capsys.readouterr().err
