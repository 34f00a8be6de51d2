"""The pages in a real browser: a phone, a desk, paper; light and dark; keyboard and screen reader."""

import pytest

from linnaea.report.comparison import build_comparison
from linnaea.report.groups import build_group
from linnaea.report.page import build_report
from linnaea.runs.repeated import RunGroup, summary

pytestmark = pytest.mark.browser
LONG = [f"a class whose name goes on and on until it has sixty letters {i:02d}"[-60:] for i in range(14)]


def group_of(folder, make_run):
    """Three folds of a recipe, with a page of label issues beside them."""
    group = RunGroup.begin(folder, "folds")
    runs = []
    for number in (1, 2, 3):
        place = {"kind": "folds", "number": number, "of": 3}
        runs.append(make_run(folder / str(number), n=300, right=0.9, seed=number, one_of=place))
    group.update_info(
        state="finished",
        runs=["1", "2", "3"],
        evaluated=3,
        asked=3,
        data={"name": "MNIST", "source": "mnist"},
        metrics=summary([run.read_json("metrics.json") for run in runs]),
    )
    group.flush()
    group.write_text("label_issues.html", "")
    for run in runs:
        build_report(run)
    return group


@pytest.fixture(scope="module")
def pages(tmp_path_factory, request):
    """One page of each kind, as file addresses."""
    make_run = request.getfixturevalue("make_run")
    folder = tmp_path_factory.mktemp("pages")
    digits = make_run(folder / "digits", n=800, right=0.9)
    others = [make_run(folder / f"with-a-rather-long-name-{i}", n=800, right=0.9, seed=i) for i in range(3)]
    reference = {"digits": {"accuracy": 0.94, "source": "the original report"}}
    drawn = {
        "digits": build_report(digits),
        "flowers": build_report(
            make_run(folder / "flowers", classes=[f"flower {i}" for i in range(24)], n=300, right=0.9)
        ),
        "long names": build_report(make_run(folder / "long", classes=LONG, n=300, right=0.7)),
        "stopped": build_report(
            make_run(folder / "stopped", tested=False, state="interrupted", message="Ctrl-C.")
        ),
        "comparison": build_comparison([digits, *others], folder / "comparison.html", reference=reference),
        "group": build_group(group_of(folder / "group", make_run)),
    }
    return {name: path.as_uri() for name, path in drawn.items()}


KINDS = ["digits", "flowers", "long names", "stopped", "comparison", "group"]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_wider_than_the_screen_and_nothing_is_asked_for(open_page, pages, kind):
    page = open_page(pages[kind])
    for width in (1280, 700, 390, 320):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.said == []
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing_in_light_and_dark(open_page, pages, kind):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = open_page(pages[kind])
    # Folded parts count too, once; a phone in the dark sees the other drawings and colours.
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    for width, scheme in ((1280, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_dark_and_light_differ_in_page_and_charts(open_page, pages):
    colours = {}
    for scheme in ("light", "dark"):
        page = open_page(pages["digits"], scheme=scheme)
        colours[scheme] = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('svg.wide text')).fill]"
        )
        assert colours["light"][0] == "rgb(253, 253, 251)"
    assert colours["dark"] != colours["light"]
    assert colours["dark"][1] != colours["light"][1]


def test_the_class_table_sorts_by_mouse_and_by_keyboard(open_page, pages):
    page = open_page(pages["digits"])
    found = page.locator("table.classes tbody td:nth-child(3)")
    button = page.locator("table.classes thead button").nth(2)

    def values():
        return [float(text.split("\u00a0")[0]) for text in found.all_text_contents()]

    # The worst stands first from the beginning.
    assert values() == sorted(values())
    assert page.locator("table.classes th[aria-sort=ascending]").count() == 1
    button.click()
    assert values() == sorted(values(), reverse=True)
    assert page.locator("table.classes th[aria-sort=descending]").count() == 1
    button.focus()
    page.keyboard.press("Enter")
    assert values() == sorted(values())
    page.locator("table.classes thead button").nth(0).click()
    assert page.locator("table.classes tbody th").first.text_content().startswith("0")


def test_a_phone_gets_its_own_drawing(open_page, pages):
    page = open_page(pages["digits"], width=390)
    assert page.locator("svg.narrow").first.is_visible()
    assert not page.locator("svg.wide").first.is_visible()
    # Text of a chart keeps a size that can be read: 11 px or more on the screen.
    sizes = page.evaluate(
        "[...document.querySelectorAll('svg.narrow text')].map(t => t.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 11


def test_it_prints(open_page, pages):
    page = open_page(pages["digits"], scheme="dark")
    assert page.pdf(prefer_css_page_size=True)[:5] == b"%PDF-"
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(253, 253, 251)"
    assert not page.locator("nav").is_visible()
    assert page.locator("svg.wide").first.is_visible()
    # Chromium repeats a table's head on each page only where it holds no button.
    heads = page.locator("table.classes thead").inner_text()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("thead button").count() == 0
    assert page.locator("table.classes thead").inner_text() == heads
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.locator("table.classes thead button").nth(2).click()
    assert page.locator("table.classes th[aria-sort=descending]").count() == 1


@pytest.mark.parametrize(
    ("kind", "opener"), [("digits", "table.matrix button"), ("flowers", ".pairs button")]
)
def test_a_cell_opens_and_closes_by_keyboard(open_page, pages, kind, opener):
    page = open_page(pages[kind])
    button = page.locator(opener).first
    button.focus()
    page.keyboard.press("Enter")
    opened = page.locator(".cell:popover-open")
    assert opened.count() == 1
    assert opened.locator("img").count() >= 1
    assert page.evaluate("document.activeElement.textContent") == "Close"
    page.keyboard.press("Escape")
    assert opened.count() == 0
    assert button.evaluate("button => button === document.activeElement")


def test_a_long_table_can_be_searched(open_page, pages):
    page = open_page(pages["flowers"])
    page.locator("#classes input[type=search]").fill("flower 7")
    rows = page.locator("table.classes tbody tr:visible th")
    assert [text.split("mistaken")[0] for text in rows.all_text_contents()] == ["flower 7"]


def test_the_page_of_a_group_leads_to_its_runs_and_back(open_page, pages):
    page = open_page(pages["group"])
    assert page.get_by_role("link", name="label_issues.html").get_attribute("href") == "label_issues.html"
    page.get_by_role("link", name="fold 2").click()
    assert page.url.endswith("/2/report.html")
    assert page.get_by_text("Fold 2 of 3.").is_visible()
    page.get_by_role("link", name="All runs together").click()
    assert page.url == pages["group"]
