"""The page of new pictures in a real browser: it fits, axe finds nothing, a click enlarges."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnaea.hashing import content_hash
from linnaea.report.predicted import Answered, Said

pytestmark = pytest.mark.browser
CLASSES = ["rose", "tulip", "a class whose name goes on and on until it has sixty letters"]


@pytest.fixture
def address(make_run, tmp_path):
    """A page of 40 answers of each class, some of them apart, some of them wrong, one not read."""
    run = make_run(tmp_path / "run", classes=CLASSES, n=300)
    answered = Answered(0.9, None)
    generator = np.random.default_rng(0)
    for number in range(120):
        file = tmp_path / "new" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(file)
        shares = dict(zip(CLASSES, generator.dirichlet([1, 1, 1]).tolist(), strict=True))
        predicted = max(shares, key=shares.__getitem__)
        answer = {"path": f"new/{number}.png", "predicted": predicted, "probability": shares[predicted]}
        answer |= {"probabilities": shares, "ood": number % 20 == 0, "ood_score": number / 10}
        answer |= {"brightness": "darker"} if number % 17 == 0 else {}
        answered.add(answer, str(file), content_hash(file.read_bytes()), CLASSES[number % 3])
    answered.add({"path": "gone.png", "error": "gone.png could not be read."}, "gone.png", "", None)
    said = Said(
        look=["look at 70 of 120 answers yourself: they are below the confidence threshold of 90.0 %"],
        accuracy={"value": 0.35, "low": 0.27, "high": 0.44, "pictures": 120},
        score=["accuracy 35.0 % (95 %: 27.0 to 44.0) on 120 pictures with a given class (folder or label)"],
        light=["8 pictures are far darker or brighter than any that the network learned from"],
    )
    out = tmp_path / "page.html"
    return answered.build(out, run, CLASSES, said, stopped=True, total=500).as_uri()


def test_it_fits_and_is_accessible(open_page, fits_and_is_accessible, address):
    page = open_page(address)
    fits_and_is_accessible(page)
    assert page.said == []
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []


def test_a_click_shows_a_picture_with_its_path_and_its_original(open_page, address):
    page = open_page(address)
    page.locator("#unfamiliar .enlarge").first.click()
    viewer = page.locator(".viewer")
    # The most unfamiliar one.
    assert viewer.locator(".path").text_content() == "new/100.png"
    assert "classified as" in viewer.locator(".said").text_content()
    link = viewer.get_by_role("link", name="Open the original")
    assert Path(link.evaluate("a => new URL(a.href).pathname")).is_file()


def test_the_table_of_classes_leads_to_their_pictures(open_page, address):
    page = open_page(address)
    page.locator("#classes").get_by_role("link", name="tulip").click()
    assert page.locator("h3:target").text_content().startswith("tulip")
