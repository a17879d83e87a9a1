"""Effective ranks in the report: shown where they were measured, and nowhere else."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from fa_audit.metrics.rank import DEFINITIONS
from fa_audit.report import Report, make_report
from fa_audit.report.drawing import Figure
from fa_audit.report.figures import ranks as drawn_ranks
from fa_audit.report.figures.ranks import MOST_PANELS, _evenly, rank_figures
from fa_audit.report.page import all_figures, report_page
from fa_audit.study.ledger import Ledger, read_record
from report.invented import LAYERS, write_study

RANKED = [
    ("[comparison]\n", "[rank]\n\n[comparison]\n"),
    (
        '\n[[matrices]]\nid = "cka-usf_sn"',
        """
[[claims]]
id = "trajectory"
kind = "value"
statement = "FA (Toeplitz): effective rank of the trajectory"
where = "Figure 1"
read = "figure"
published = 12
reading_error = 1
unit = "directions"
of = "fa_toeplitz"
measure = "effective_rank/trajectory/fc1/entropy"
at = "last"
margin = 5

[[matrices]]
id = "cka-usf_sn\"""",
    ),
]
LEVELS = {"bp": 90.0, "fa_toeplitz": 14.0, "usf_sn": 60.0}


def ranks(rule: str, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Invented measurements and series of a run's ranks; the dead layer fc2 has none."""
    measurements: dict[str, Any] = {}
    series: dict[str, Any] = {"error": {"step": [0, 1, 10]}, "trajectory": {"step": [1, 10]}}
    for name, of in series.items():
        for layer in LAYERS:
            of[layer] = {}
            for k, definition in enumerate(DEFINITIONS):
                top = LEVELS.get(rule, 30.0) * (0.5 + k / 8) + seed
                values = [top / (2 * n + 1) for n in reversed(range(len(of["step"])))]
                if layer == "fc2":
                    values = [None] * len(of["step"])
                of[layer][definition] = values
                pick = dict(zip(("first", "last"), (values[0], values[-1]), strict=True))
                measurements[f"effective_rank/{name}/{layer}/{definition}"] = {
                    "estimator": "invented",
                    "n": 16,
                    "p": 10,
                    "unit": "directions",
                    "values": {**pick, "lowest": values[0], "highest": values[-1]},
                    **({"bound": 9} if (name, layer) == ("error", "fc3") else {}),
                }
    return measurements, series


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("ranked")
    write_study(folder, *RANKED)
    for file in sorted((folder / "ledger").iterdir()):
        record = read_record(file)
        if record.kind != "run" or record.id == "usf_init":
            continue
        measurements, series = ranks(record.configuration["rule"], record.seed)
        Ledger(folder / "ledger").write(
            replace(
                record,
                measurements={**record.measurements, **measurements},
                series={**record.series, "rank": series},
            )
        )
    return make_report(folder)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    figures = rank_figures(report.material)
    return report_page(report.material, figures, report.folder, report.commands)


@pytest.fixture(autouse=True)
def few_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if those of the invented study and its grid were few: one panel for each layer."""
    monkeypatch.setattr(drawn_ranks, "MOST_COURSES", 20)


def figures_of(report: Report) -> list[Figure]:
    (figures,) = rank_figures(report.material).values()
    return [figure for figure in figures if isinstance(figure, Figure)]


def test_every_measured_object_has_a_figure_and_a_panel_for_each_layer(report: Report) -> None:
    heading = figures_of(report)
    assert [one.name for one in heading] == ["effective-rank-error", "effective-rank-trajectory"]
    for figure in heading:
        layers = [panel.alt.partition(":")[0] for panel in figure.panels]
        assert layers == ["conv1", "conv2", "fc1", "fc3"]  # fc2 is dead


def test_panels_say_in_words_what_they_draw(report: Report) -> None:
    error, trajectory = figures_of(report)
    assert "BP from 18 to 90 to 92 (3 seeds)" in error.panels[2].alt.replace("18.2", "18")
    assert "FA (Toeplitz) from 5 to 14 to 16 (3 seeds), published 12" in trajectory.panels[2].alt
    assert "uSF Init" not in error.alt
    assert error.panels[3].alt.endswith("At most 9.")
    assert "At most" not in error.panels[2].alt


def test_the_numbers_behind_are_of_every_definition_and_moment(report: Report) -> None:
    _, trajectory = figures_of(report)
    rows = re.findall(r"<tr>(.*?)</tr>", trajectory.numbers)
    heads = re.sub(r"<.*?>", "|", rows[0])
    for definition in DEFINITIONS:
        assert f"|{definition.replace('_', ' ')}|" in heads
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in rows[1:]]
    of_fc1 = [row for row in cells if row[:2] == ["FA (Toeplitz)", "fc1"]]
    moments = [row[2] for row in of_fc1]
    assert moments == ["first", "at its lowest", "at its highest", "last epoch"]
    assert of_fc1[-1][-2:] == ["15 (14 to 16); published 12", "3"]
    assert not any(row[1] == "fc2" for row in cells)


def test_the_page_holds_them_and_the_verdict_on_a_claim_about_them(
    report: Report, page: str
) -> None:
    (verdict,) = (one for one in report.material.verdicts if one.claim == "trajectory")
    assert verdict.estimate == pytest.approx(15)
    assert 'id="figure-effective-rank-trajectory"' in page
    assert "one rank less than there are classes" in page
    assert list(all_figures(report.material))[1:3] == ["Errors sent down", "Effective rank"]
    other = page[page.index('id="other"') : page.index('id="cards"')]
    assert "ffective rank" not in other


def test_a_study_without_ranks_has_no_heading_for_them(
    invented_report: Report, invented_page: Path
) -> None:
    assert rank_figures(invented_report.material) == {}
    assert "ffective rank" not in invented_page.read_text(encoding="utf-8")


def test_many_configurations_have_a_panel_for_each_rule_to_one_scale(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn_ranks, "MOST_COURSES", 2)
    trajectory = figures_of(report)[1]
    titles = [panel.alt.partition(":")[0] for panel in trajectory.panels]
    rules = ["BP", "FA (Random)", "FA (Toeplitz)", "uSF SN"]
    assert titles[:4] == [f"conv1, {rule}" for rule in rules]
    assert len(titles) == 4 * len(rules)
    assert "FA (Toeplitz) from" not in trajectory.panels[0].alt
    scales = []
    for panel in trajectory.panels[:4]:
        _, axes = plt.subplots()
        panel.draw(axes)
        scales.append(axes.get_ylim())
        plt.close()
    assert len(set(scales)) == 1
    assert scales[0][1] > 90


def test_of_many_layers_some_are_drawn_the_ends_among_them() -> None:
    layers = [f"layer{i}" for i in range(21)]
    drawn = _evenly(layers, MOST_PANELS)
    assert (drawn[0], drawn[-1], len(set(drawn))) == ("layer0", "layer20", MOST_PANELS)
    assert _evenly(layers[:5], MOST_PANELS) == layers[:5]
