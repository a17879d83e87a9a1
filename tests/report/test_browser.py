"""The page in real headless Chromium: what a reader can see, press, reach and print.

Needs the group `browser` of pyproject.toml and Chromium itself (Debian: `apt-get install chromium`;
another one may be named in FA_AUDIT_CHROMIUM); skipped where either is missing.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from fa_audit.report import Report, write_reports

pytest.importorskip("html5lib", reason='needs pip install ".[browser]"')
sync_api = pytest.importorskip("playwright.sync_api", reason='needs pip install ".[browser]"')
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright")

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
CHROMIUM = os.environ.get("FA_AUDIT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium: install it, or name it in FA_AUDIT_CHROMIUM"
)

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM)
        yield chromium
        chromium.close()


class Opener(Protocol):
    def __call__(self, file: Path = ..., **settings: Any) -> AbstractContextManager[Any]: ...


@pytest.fixture
def opened(browser: Any, invented_page: Path) -> Opener:
    """Opens a page; afterwards nothing may have been said or asked of a network."""

    @contextmanager
    def opener(file: Path = invented_page, **settings: Any) -> Iterator[Any]:
        context = browser.new_context(**{"viewport": DESKTOP, **settings})
        page = context.new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        yield page
        context.close()
        assert said == []
        assert {url for url in asked if not url.startswith(("file:", "data:"))} == set()

    return opener


def shown(page: Any) -> list[str]:
    """The claims in the table, as far as they are to be seen."""
    rows = page.locator("#claims-table tbody tr:visible th")
    return [text.strip() for text in rows.all_inner_texts()]


def column(page: Any, name: str) -> list[str]:
    cells = page.locator(f"#claims-table tbody tr:visible td.{name}")
    return [text.strip() for text in cells.all_inner_texts()]


def numbers(page: Any) -> list[float]:
    keys = page.eval_on_selector_all(
        "#claims-table tbody tr:not([hidden])",
        "rows => rows.map(row => row.getAttribute('data-sort-ours')).filter(key => key !== null)",
    )
    return [float(key) for key in keys]


def test_headlines_are_shown_first_and_all_claims_on_request(opened: Opener) -> None:
    with opened() as page:
        assert len(shown(page)) == 2
        assert page.inner_text("#shown") == "The 2 headline claims of 17."
        page.click("#show-all")
        assert len(shown(page)) == 17
        assert page.inner_text("#shown") == "17 of 17 claims."
        assert not page.is_visible("#show-all")


def test_sorting_by_our_number_up_down_and_back(opened: Opener) -> None:
    with opened() as page:
        before = page.eval_on_selector_all("#claims-table tbody th", "all => all.length")
        heading = page.locator("th.ours")
        heading.locator("button").click()
        up = numbers(page)
        assert up == sorted(up)
        assert heading.get_attribute("aria-sort") == "ascending"
        assert column(page, "ours")[-1] == ""
        heading.locator("button").click()
        assert numbers(page) == sorted(up, reverse=True)
        assert heading.get_attribute("aria-sort") == "descending"
        assert column(page, "ours")[-1] == ""
        heading.locator("button").click()
        assert shown(page)[0] == "BP: test accuracy"
        assert heading.get_attribute("aria-sort") == "none"
        assert len(shown(page)) == before


def test_sorting_by_claim_and_by_verdict(opened: Opener) -> None:
    with opened() as page:
        page.click("th.claim button")
        claims = [claim.lower() for claim in shown(page)]
        assert claims[1:] == sorted(claims[1:])  # the first is markup, where collations differ
        page.click("th.verdict button")
        words = [text.split("\n")[0][2:] for text in column(page, "verdict")]
        assert words.index("reproduced") < words.index("not reproduced")
        assert words[-1] == "contradicted by its own source"


def test_filtering_by_verdict(opened: Opener) -> None:
    with opened() as page:
        tile = page.locator(".tile.open")
        tile.click()
        assert tile.get_attribute("aria-pressed") == "true"
        assert all("inconclusive" in text for text in column(page, "verdict"))
        count = int(tile.locator(".count").inner_text())
        assert len(shown(page)) == count
        tile.click()
        assert len(shown(page)) == 2


def test_filtering_by_rule_measure_and_words(opened: Opener) -> None:
    with opened() as page:
        page.select_option("#filter-rule", "fa_random")
        assert shown(page) == [
            "FA (Random): sign concordance, conv2",
            "FA (Random): sign concordance, fc1",
        ]
        page.click("#filter-clear")
        page.select_option("#filter-measure", "CKA")
        assert len(shown(page)) == 4
        page.fill("#filter-text", "CONV2/conv1")
        assert shown(page) == ["uSF SN: CKA with BP, conv2/conv1"]
        page.fill("#filter-text", "no such words")
        assert page.inner_text("#shown") == "0 of 17 claims."
        page.click("#filter-clear")
        assert len(shown(page)) == 2


def test_a_claim_leads_to_its_card_and_the_card_to_its_runs(opened: Opener) -> None:
    with opened() as page:
        page.click("#show-all")
        for claim in ("BP: test accuracy", "uSF SN: CKA with BP, conv2/conv1"):
            page.locator("#claims-table a", has_text=claim).click()
            card = page.locator("details.card:target")
            assert card.get_attribute("open") is not None
            assert claim in card.inner_text()
            top = card.bounding_box()["y"]
            assert -1 <= top < DESKTOP["height"]
        card.locator(".runs a").first.click()
        assert "uSF SN ~ BP" in page.locator("#provenance :target").inner_text()


def test_an_address_with_a_card_opens_it(browser: Any, invented_page: Path) -> None:
    page = browser.new_page()
    page.goto(f"{invented_page.as_uri()}#claim-cka-usf_sn/conv1/conv1")
    assert page.locator("details.card:target .reason").is_visible()
    page.close()


def test_an_address_that_is_no_text_stops_nothing(browser: Any, invented_page: Path) -> None:
    page = browser.new_page()
    page.goto(f"{invented_page.as_uri()}#%")
    assert len(shown(page)) == 2
    page.click("#show-all")
    assert len(shown(page)) == 17
    page.close()


def test_markup_in_a_claim_takes_nothing_over(opened: Opener) -> None:
    with opened() as page:
        assert page.title() == "An invented study: audit"


def test_dark_and_light_follow_the_reader(opened: Opener) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        with opened(color_scheme=scheme) as page:
            colours[scheme] = page.evaluate(
                """() => {
                    const drawn = '[style*="stroke: var(--rule-usf-sn)"]';
                    const line = document.querySelector(`.panel ${drawn}`);
                    const body = getComputedStyle(document.body);
                    return [body.backgroundColor, body.color, getComputedStyle(line).stroke];
                }"""
            )
    assert colours["light"][0] == "rgb(245, 246, 248)"
    assert colours["dark"][0] == "rgb(18, 21, 26)"
    assert all(a != b for a, b in zip(colours["light"], colours["dark"], strict=True))


@pytest.mark.parametrize("scripted", [True, False], ids=["scripts", "no scripts"])
def test_a_phone_does_not_scroll_sideways(opened: Opener, scripted: bool) -> None:
    with opened(viewport=PHONE, java_script_enabled=True) as page:
        page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
        if not scripted:
            page.evaluate("document.documentElement.classList.remove('js')")
        assert_fits(page)


def assert_fits(page: Any) -> None:
    """Nothing is wider than a phone but what scrolls by itself."""
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    wide = page.evaluate(
        """() => [...document.querySelectorAll('main *')]
            .filter(one => one.getBoundingClientRect().right > innerWidth + 1
                && !one.closest('.scroll, pre, svg, .unseen'))
            .map(one => one.outerHTML.slice(0, 120))"""
    )
    assert wide == []


def test_figures_are_not_scaled_down_on_a_phone(opened: Opener) -> None:
    with opened(viewport=PHONE) as page:
        widths = page.eval_on_selector_all(
            ".panel", "all => all.map(one => one.getBoundingClientRect().width)"
        )
        assert min(widths) > 300


def test_without_scripts_everything_can_be_read(opened: Opener) -> None:
    with opened(java_script_enabled=False) as page:
        assert page.locator("#claims-table tbody tr").count() == len(shown(page)) == 17
        assert not page.is_visible("#filter-rule")
        page.locator("details.card > summary").first.click()
        assert page.locator("details.card[open] .reason").first.is_visible()


def test_paper_shows_everything_in_light_colours(opened: Opener) -> None:
    with opened(color_scheme="dark") as page:
        page.emulate_media(media="print", color_scheme="dark")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        assert len(shown(page)) == 17
        assert not page.is_visible("nav")
        ink = page.evaluate("getComputedStyle(document.body).color")
        assert ink == "rgb(32, 36, 42)"
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("details.card[open]").count() == 0
        assert page.pdf(format="A4").startswith(b"%PDF")


def test_paper_shows_everything_without_scripts_too(opened: Opener) -> None:
    with opened(java_script_enabled=False) as page:
        page.emulate_media(media="print")
        reasons = page.locator("details.card .reason")
        assert all(reasons.nth(i).is_visible() for i in range(reasons.count()))


REACHABLE = "a[href], button, select, input, summary, [tabindex='0']"


def test_everything_that_can_be_used_is_reached_by_keyboard(opened: Opener) -> None:
    with opened() as page:
        wanted = page.evaluate(
            f"""() => {{
                const all = [...document.querySelectorAll("{REACHABLE}")];
                window.reachable = all.filter(one => one.checkVisibility());
                return window.reachable.length;
            }}"""
        )
        page.focus("body")
        reached, hidden_focus = set(), []
        for _ in range(wanted + 2):
            page.keyboard.press("Tab")
            number, outline = page.evaluate(
                """() => [
                    window.reachable.indexOf(document.activeElement),
                    getComputedStyle(document.activeElement).outlineStyle,
                ]"""
            )
            reached.add(number)
            if number >= 0 and outline == "none":
                hidden_focus.append(number)
        assert reached >= set(range(wanted))
        assert hidden_focus == []


def test_keys_press_what_they_reach(opened: Opener) -> None:
    with opened() as page:
        page.focus("th.n button")
        page.keyboard.press("Enter")
        assert page.locator("th.n").get_attribute("aria-sort") == "ascending"
        page.focus(".tile.self")
        page.keyboard.press("Space")
        assert shown(page) == ["The figure shows what the text says"]
        summary = page.locator("details.card > summary").first
        summary.focus()
        page.keyboard.press("Enter")
        assert page.locator("details.card").first.get_attribute("open") is not None


@pytest.mark.parametrize(
    ("scheme", "viewport"),
    [("light", DESKTOP), ("dark", PHONE)],
    ids=["light desktop", "dark phone"],
)
def test_axe_finds_no_breach_of_wcag_aa(
    opened: Opener, scheme: str, viewport: dict[str, int]
) -> None:
    with opened(color_scheme=scheme, viewport=viewport) as page:
        page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
        page.click("#show-all")
        assert_no_breach(page)


def assert_no_breach(page: Any) -> None:
    """Axe finds no breach of WCAG AA."""
    rules = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    outside = {"exclude": [["svg.panel > *"]]}  # thousands of glyphs, all behind one label
    found = axe_api.Axe().run(page, context=outside, options={"runOnly": rules})
    assert found.response["violations"] == [], found.generate_report()
    assert found.response["passes"]


def assert_valid(page: Path) -> None:
    import html5lib

    html5lib.HTMLParser(strict=True).parse(page.read_text(encoding="utf-8"))


def test_the_page_is_valid_html(invented_page: Path) -> None:
    assert_valid(invented_page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_several_studies_fits_is_valid_and_leads_on(
    opened: Opener, invented_report: Report, tmp_path: Path, scheme: str
) -> None:
    file = write_reports([invented_report], tmp_path)
    assert_valid(file)
    with opened(file, color_scheme=scheme, viewport=PHONE) as page:
        assert_fits(page)
        assert_no_breach(page)
        page.locator("tbody a").first.click()
        page.locator("details.card[open] .reason").wait_for()  # until the other page has come
