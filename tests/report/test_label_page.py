"""The page of label issues in a real browser: decide, save, copy, come back."""

import csv
import io

import pytest
from PIL import Image

from linnaea.evaluation.label_issues import LabelIssue, to_csv
from linnaea.report.label_issues import build_label_issues
from linnaea.runs.repeated import RunGroup

pytestmark = pytest.mark.browser
CLASSES = ["a rose", "tulip, red", 'the "lily"']
ISSUES = [
    LabelIssue("folder/a, b.png", "a rose", "tulip, red", 0.01),
    LabelIssue("folder/c.png", "tulip, red", "a rose", 0.02),
    LabelIssue("folder/" + "a long name " * 12 + ".png", 'the "lily"', "a rose", 0.03),
    LabelIssue("folder/e.png", "a rose", 'the "lily"', 0.04),
]


@pytest.fixture
def address(tmp_path):
    group = RunGroup.begin(tmp_path / "my folds", "folds")
    group.update_info(runs=[], classes=CLASSES, data={"name": "flowers", "source": "my flowers/"})
    group.flush()
    group.write_text("label_issues.csv", to_csv(ISSUES))
    for number in range(1, len(ISSUES) + 1):
        content = io.BytesIO()
        Image.new("RGB", (150, 100), (40 * number, 90, 120)).save(content, "JPEG")
        group.write_bytes(f"label_issues/{number:06}.jpg", content.getvalue())
    return build_label_issues(group).as_uri()


def decide(page):
    """Take the first suggestion, confirm the second, leave the third out, give the fourth another class."""
    items = page.locator(".issues > li")
    for row, choice in enumerate(("suggested", "given", "out")):
        items.nth(row).locator(f"[value={choice}]").check()
    items.nth(3).locator("input[type=text]").fill("tulip, red")


def rows(text):
    return list(csv.reader(io.StringIO(text)))


DECIDED = [
    ["path", "label"],
    [ISSUES[0].path, "tulip, red"],
    [ISSUES[1].path, "tulip, red"],
    [ISSUES[2].path, ""],
    [ISSUES[3].path, "tulip, red"],
]


def test_save_writes_the_decisions_that_relabel_reads(open_page, address):
    page = open_page(address)
    save = page.get_by_role("button", name="Save decisions.csv")
    assert save.is_disabled()
    decide(page)
    assert page.locator("#decided").text_content() == "4 of 4 decided."
    with page.expect_download() as download:
        save.click()
    assert download.value.suggested_filename == "decisions.csv"
    assert rows(download.value.path().read_text(encoding="utf-8")) == DECIDED
    assert page.said == []
    assert [url for url in page.asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.parametrize("allowed", [True, False])
def test_copy_puts_the_decisions_on_the_clipboard(open_page, address, allowed):
    page = open_page(address, permissions=["clipboard-read", "clipboard-write"])
    if not allowed:
        # As in browsers that keep pages from a disk away from the clipboard.
        page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error('not here')))")
    decide(page)
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_text("Copied.").wait_for()
    assert rows(page.evaluate("navigator.clipboard.readText()")) == DECIDED
    assert page.said == []


def test_where_nothing_may_be_copied_the_text_is_selected_and_it_is_said(open_page, address):
    page = open_page(address)
    page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error('not here')))")
    page.evaluate("void (document.execCommand = () => false)")
    decide(page)
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_text("The text is selected: copy it with the keyboard.").wait_for()
    assert rows(page.evaluate("getSelection().toString()")) == DECIDED


def test_an_unknown_class_is_marked_and_not_handed_over(open_page, address):
    page = open_page(address)
    other = page.locator(".issues > li").nth(1).locator("input[type=text]")
    other.fill("a roze")
    assert other.get_attribute("aria-invalid") == "true"
    assert page.locator("#decided").text_content() == "0 of 4 decided."
    other.fill("a rose")
    assert other.get_attribute("aria-invalid") is None
    assert rows(page.locator("#csv").input_value()) == [["path", "label"], [ISSUES[1].path, "a rose"]]


def test_decisions_are_there_when_the_page_is_opened_again(open_page, address):
    page = open_page(address)
    decide(page)
    page.reload()
    assert page.locator("#decided").text_content() == "4 of 4 decided."
    assert rows(page.locator("#csv").input_value()) == DECIDED


def test_it_fits_a_phone_and_axe_finds_nothing(open_page, address, fits_and_is_accessible):
    page = open_page(address)
    decide(page)
    fits_and_is_accessible(page)


def test_no_command_is_named_where_none_would_work(address, tmp_path):
    text = (tmp_path / "my folds" / "label_issues.html").read_text(encoding="utf-8")
    assert "linnaea relabel" not in text.split("<script>")[0]
    assert "no new table can be written from them" in text


def test_a_click_shows_a_picture_large(open_page, address):
    page = open_page(address)
    page.get_by_role("button", name=f"Show {ISSUES[0].path} large").click()
    viewer = page.locator(".viewer")
    assert viewer.locator(".path").text_content() == ISSUES[0].path
    assert "a rose, or rather tulip, red?" in viewer.locator(".said").text_content()
