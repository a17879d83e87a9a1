"""The page of an invented study: all of it there, all of it linked, nothing taken from outside."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from fa_audit.audit import Word
from fa_audit.report import Report
from fa_audit.report.claims_table import anchor
from fa_audit.report.drawing import Figure
from fa_audit.report.figures.association import accuracy_against_similarity
from fa_audit.report.figures.similarity import cka_matrices, controls
from fa_audit.report.style import VERDICTS
from report.invented import MARKUP


class Page(HTMLParser):
    """Elements with their attributes, and the text outside of scripts and styles."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.inside = ""
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(self.texts)


@pytest.fixture(scope="module")
def markup(invented_page: Path) -> str:
    return invented_page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(markup: str) -> Page:
    return Page(markup)


def test_every_claim_has_a_row_and_a_card_and_its_verdict(
    page: Page, invented_report: Report
) -> None:
    verdicts = invented_report.material.verdicts
    rows = [attributes for attributes in page.all("tr") if "data-word" in attributes]
    words = [str(verdict.word) for verdict in verdicts]
    assert sorted(str(row["data-word"]) for row in rows) == sorted(words)
    cards = [card["id"] for card in page.all("details") if card.get("class") == "card"]
    assert set(cards) == {anchor(verdict.claim) for verdict in verdicts}
    for word in set(words):
        assert f"{VERDICTS[Word(word)][1]}" in page.text


def test_headlines_come_first(page: Page) -> None:
    rows = [attributes for attributes in page.all("tr") if "data-word" in attributes]
    assert ["data-headline" in row for row in rows] == [True, True] + [False] * (len(rows) - 2)


def test_ids_are_unique_and_every_link_leads_to_one(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(a["href"]) for a in page.all("a")]
    assert links
    assert {unquote(link) for link in links} <= {f"#{id}" for id in ids}
    uses = [str(use["href"]) for use in page.all("use")]
    assert set(uses) <= {f"#{id}" for id in ids}


def test_labels_belong_to_something(page: Page) -> None:
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    for _, attributes in page.elements:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids


def test_nothing_comes_from_outside(markup: str, page: Page) -> None:
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert not re.search(r"url\((?!#)", markup)
    assert "@import" not in markup
    # The only addresses in the page name the namespaces of SVG.
    assert set(re.findall(r"https?://[^\"'\s<]+", markup)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_only_the_pages_own_script_may_run(markup: str, page: Page) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", markup, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not [a for _, a in page.elements for name in a if name.startswith("on")]


def test_markup_in_claims_settings_and_notes_shows_as_text(page: Page) -> None:
    assert len(page.all("script")) == 1
    assert not page.all("i")
    assert not page.all("b")
    for text in (MARKUP, "<i>Table</i> 1", "a note with <em>markup</em>", "invented <device>"):
        assert text in page.text
    assert "fa-audit report <STUDY>" in page.text
    assert "one <1>" in page.text


def test_every_picture_says_in_numbers_what_it_shows(page: Page) -> None:
    pictures = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    letters = [svg for svg in page.all("svg") if svg.get("aria-hidden") == "true"]
    assert len(pictures) + len(letters) == len(page.all("svg"))
    assert [svg["class"] for svg in letters] == ["glyphs"]
    for picture in pictures:
        assert re.search(r"\d", str(picture["aria-label"])), picture


@pytest.mark.parametrize(
    "name",
    [
        "accuracy",
        "accuracy-by-epoch",
        "searched-settings",
        "local-angles",
        "true-angles",
        "sign-concordance",
        "distance-moved",
        "controls",
        "cka-all",
        "cka-both-right",
        "accuracy-against-similarity",
        "exemplars",
        "exemplar-classes",
        "cost",
    ],
)
def test_figures_stand_in_the_page_and_beside_it(
    page: Page, invented_page: Path, name: str
) -> None:
    assert f"figure-{name}" in [figure.get("id") for figure in page.all("div")]
    folder = invented_page.parent / "figures"
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / f"{name}.svg").read_text(encoding="utf-8")


def test_comparisons_of_a_grid_are_left_to_the_figure_of_similarity_and_accuracy(
    invented_report: Report,
) -> None:
    material = invented_report.material
    assert any(id.startswith("grid-") and material.runs(id) for id in material.comparisons)
    for figure in (cka_matrices(material, "all"), controls(material)):
        assert isinstance(figure, Figure)
        assert "uSF SN ~ BP" in str(figure.numbers)
        assert "grid" not in str(figure.numbers)
        assert not any("grid" in panel.alt for panel in figure.panels)
    scatter = accuracy_against_similarity(material)
    assert isinstance(scatter, Figure)
    assert "grid" in str(scatter.numbers)


def test_what_cannot_be_shown_is_named(page: Page) -> None:
    assert "CKA on images that only the reference gets right" in page.text
    assert "No comparison of this study has measured it." in page.text


def test_no_address_of_a_measure_stands_where_a_title_belongs(page: Page) -> None:
    assert "classes of exemplars, conv2, importance without sign" in page.text
    assert "uSF SN ~ BP: CKA, all images, 4 cells" in page.text
    for address in ("exemplar_", "cost_ratio", ".channels", "usf_sn~bp", "cka/all", "cka-usf_sn"):
        assert address not in page.text, address


def test_gaps_are_named_first(page: Page) -> None:
    text = re.sub(r"\s+", " ", page.text)
    assert "1 of 54 declared runs and measurements are missing: uSF Init seed 2." in text
    assert "Runs that diverged, counted like the others: FA (Random) (seed 1)." in text
    assert "above that of guessing" in text
    assert text.index("are missing") < text.index("BP: test accuracy")


def test_measures_without_a_figure_are_in_a_table(page: Page) -> None:
    assert "invented measure" in page.text
    assert "basket" in page.text


def test_runs_are_named_by_hash_with_code_and_device(page: Page, invented_report: Report) -> None:
    rows = {str(a["id"]) for _, a in page.elements if str(a.get("id", "")).startswith("run-")}
    records = invented_report.material.records
    assert rows == {f"run-{record.stem}" for record in records}
    for record in records:
        assert record.hash[:12] in page.text
    assert "0.1.0 (0123456789ab)" in page.text


def test_provenance_has_fingerprints_settings_deviations_and_commands(page: Page) -> None:
    text = page.text
    assert "SHA-256 of the images" in text
    assert "learning_rate" in text
    assert "Deviations from the paper" in text
    assert "Not to be shown" not in text


def test_no_address_of_this_machine_is_in_the_page(markup: str, invented_study: Path) -> None:
    assert str(invented_study) not in markup
    assert str(Path.home()) + "/" not in markup
