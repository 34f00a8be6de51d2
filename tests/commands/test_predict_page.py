"""Facts about predict --page: who stands where, what is counted, how large it becomes, in a browser too."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.commands.conftest import draw, words

import linnaea
from linnaea.cli import main
from linnaea.report.predicted import MOST


@pytest.fixture
def new(tmp_path, monkeypatch):
    """Folders of pictures that no network has seen, below the working directory."""
    monkeypatch.chdir(tmp_path)
    return draw(tmp_path / "new", count=30, seed=1)


def section(page, ident):
    """One section of a page."""
    found = re.search(rf'<section id="{ident}".*?</section>', page.read_text(), flags=re.DOTALL)
    return found[0] if found else ""


def shown(html):
    """The paths and what is said of their probabilities, in the order of a piece of a page."""
    paths = re.findall(r'data-path="([^"]*)"', html)
    shares = re.findall(r'class="named"><b>.*?</b> <span>[^0-9]*([0-9.]+)', html)
    return paths, [float(share) for share in shares]


def test_each_class_has_its_least_sure_pictures_first_and_all_are_counted(calibrated, new, capsys):
    assert main(["predict", str(calibrated / "run"), "new", "--page", "page.html"]) == 0
    told = capsys.readouterr().err
    assert "Page      page.html\n" in told
    assert "see the pictures: linnaea open page.html" in told
    answers = linnaea.predict(calibrated / "run", "new")
    page = Path("page.html")
    rows = dict(re.findall(r'<a href="#class-\d+">(.*?)</a></th><td data-value="(\d+)"', page.read_text()))
    predicted = [answer["predicted"] for answer in answers]
    assert rows == {name: str(predicted.count(name)) for name in sorted(set(predicted))}
    for heading, html in re.findall(r"<h3 id=.*?>(.*?) <small.*?</h3>(.*?)(?=<h3|</section>)",
                                    section(page, "pictures"), flags=re.DOTALL):  # fmt: skip
        paths, shares = shown(html)
        assert shares == sorted(shares)
        ours = [a for a in answers if a["predicted"] == heading and not a["ood"] and "brightness" not in a]
        least = sorted(ours, key=lambda answer: answer["probability"])[: len(paths)]
        assert [Path(path) for path in paths] == [Path(answer["path"]) for answer in least]
        assert len(paths) == min(len(ours), MOST)


def test_class_folders_give_the_score_and_the_mistakes_most_confident_first(calibrated, new, capsys):
    (new / "bar 0").rename("bar 9")
    (new / "bar 1").rename(new / "bar 0")
    Path("bar 9").rename(new / "bar 1")
    assert main(["predict", str(calibrated / "run"), "new", "--page", "page.html"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    page = Path("page.html")
    (share,) = re.findall(r"accuracy ([\d.]+ %)", told)
    assert f'<span class="big">{share.replace(" ", chr(160))}</span>' in page.read_text()
    paths, shares = shown(section(page, "mistakes"))
    assert shares == sorted(shares, reverse=True)
    assert len(paths) == MOST
    assert all("bar 2" not in path for path in paths)
    assert "this is a test only if the pictures are new" in words(page).lower()


def test_unfamiliar_and_dark_pictures_stand_apart_and_first(calibrated, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "new", count=4, seed=2)
    Image.fromarray(np.full((12, 12), 255, np.uint8)).save(tmp_path / "new" / "white.png")
    Image.fromarray(np.eye(12, dtype=np.uint8) * 255).save(tmp_path / "new" / "odd.png")
    assert main(["predict", str(calibrated / "run"), "new", "--page", "pages"]) == 0
    capsys.readouterr()
    page = tmp_path / "pages" / "predicted.html"
    answers = {answer["path"]: answer for answer in linnaea.predict(calibrated / "run", "new")}
    unfamiliar = sorted((a for a in answers.values() if a["ood"]), key=lambda a: -a["ood_score"])
    assert unfamiliar
    assert shown(section(page, "unfamiliar"))[0] == [answer["path"] for answer in unfamiliar]
    odd_light = {path for path, a in answers.items() if "brightness" in a and not a["ood"]}
    assert set(shown(section(page, "light"))[0]) == odd_light
    apart = {answer["path"] for answer in unfamiliar} | odd_light
    by_class = shown(section(page, "pictures"))[0]
    assert sorted([*by_class, *apart]) == sorted(answers)
    text = page.read_text()
    assert text.index('id="unfamiliar"') < text.index('id="classes"')
    if odd_light or any("brightness" in answer for answer in unfamiliar):
        assert "than any learned from" in text


def test_a_list_a_lost_picture_and_one_that_changed(trained, new, monkeypatch, capsys):
    (new / "bar 0" / "00.png").write_bytes(b"torn")
    Path("names.txt").write_text("\n".join(f"new/bar 0/{n:02}.png" for n in range(4)))
    from linnaea.report import predicted

    read, lost = predicted.read_picture, []

    def lose(file, **options):
        # Somebody empties the folder while the page is drawn.
        if file.endswith("02.png"):
            lost.append(file)
            os.replace("new/bar 1/05.png", file)
        return read(file, **options)

    monkeypatch.setattr(predicted, "read_picture", lose)
    assert main(["predict", str(trained), "--list", "names.txt", "--page", "page.html"]) == 1
    assert "1 of 4 pictures could not be read" in capsys.readouterr().err
    page = Path("page.html")
    assert "00.png" in section(page, "unread")
    assert lost
    paths = shown(section(page, "pictures"))[0] + shown(section(page, "unfamiliar"))[0]
    assert sorted(set(paths)) == ["new/bar 0/01.png", "new/bar 0/03.png"]


@pytest.mark.skipif(os.name == "nt", reason="sends no Ctrl-C to one process")
def test_whoever_stops_it_has_a_page_of_what_was_done_that_says_so(trained, new):
    process = subprocess.Popen(
        [sys.executable, "-m", "linnaea", "predict", str(trained), "--list", "-", "--page", "page.html"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdin.write("".join(f"new/bar {n % 3}/{n % 30:02}.png\n" for n in range(200)))
    process.stdin.flush()
    for _ in range(40):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    (number,) = re.findall(r"Stopped   after (\d+) pictures", told)
    assert "Page      page.html" in told
    text = words(Path("page.html"))
    assert f"It was stopped after {number} pictures; this page shows what was answered so far." in text


def test_the_page_stays_small_and_shows_fewer_pictures_not_smaller_ones(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from linnaea.report import predicted

    # Noise, which no JPEG makes small.
    generator = np.random.default_rng(0)
    for number in range(12):
        pixels = generator.integers(0, 256, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(predicted, "ROOM", 150_000)
    linnaea.predict(trained, *(tmp_path / f"{number}.png" for number in range(12)), page="page.html")
    text = Path("page.html").read_text()
    few = set(re.findall(r'data-path="([^"]*)"', text))
    assert 0 < len(few) < 12
    assert len(text) < 150_000 * 4 / 3 + 100_000
    assert "of them shown" in text
    assert "in the list that linnaea.predict returned" in text


def test_memory_does_not_grow_with_the_number_of_pictures(trained, new, tmp_path):
    names = [f"new/bar {c}/{i:02}.png" for c in range(3) for i in range(30)]

    def peak(number):
        (tmp_path / "names.txt").write_text("\n".join((names * number)[:number]))
        tracemalloc.start()
        try:
            command = ["predict", str(trained), "--list", "names.txt", "--format", "csv"]
            with open(os.devnull, "w") as nowhere, pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "stdout", nowhere)
                assert main([*command, "--page", "page.html"]) == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(200)  # what is imported once
    few, many = peak(200), peak(2000)
    # An answer of three classes takes a kilobyte.
    assert many - few < 300_000


def test_a_file_that_is_no_page_and_a_file_of_a_run_are_not_replaced(trained, new, capsys):
    Path("mine.html").write_text("a letter")
    assert main(["predict", str(trained), "new", "--page", "mine.html"]) == 1
    assert "mine.html exists already and is not a page of Linnaea's." in capsys.readouterr().err
    assert main(["predict", str(trained), "new", "--page", str(trained / "report.html")]) == 1
    assert "is a file of the run" in capsys.readouterr().err
    assert Path("mine.html").read_text() == "a letter"


@pytest.mark.skipif(os.name == "nt", reason="names there are Unicode")
def test_names_of_other_bytes_and_of_html_are_shown_as_they_are(trained, new, capsys):
    odd = os.fsdecode(b"new/bar 0/caf\xe9 <b>.png")
    shutil.copy(new / "bar 0" / "00.png", odd)
    assert main(["predict", str(trained), odd, "--page", "page.html"]) == 0
    text = Path("page.html").read_text()
    assert 'data-path="new/bar 0/caf\\xe9 &lt;b&gt;.png"' in text
    assert 'data-original="new/bar%200/caf%E9%20%3Cb%3E.png"' in text
