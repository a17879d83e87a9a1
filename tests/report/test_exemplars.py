"""Exemplars: the right images, or none and a word how to have them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fa_audit.report import Report
from fa_audit.report.drawing import Figure, panel_svg
from fa_audit.report.figures.exemplars import _mosaic, exemplar_figures
from fa_audit.report.material import Missing
from fa_audit.report.pictures import Pictures
from fa_audit.study.ledger import Record
from report.invented import IMAGES

LAYER, FORM = "conv2", "absolute"


OTHERS = replace(IMAGES, fingerprints={**IMAGES.fingerprints, "test": "0" * 64})


@pytest.fixture
def record(invented_report: Report) -> Record:
    return invented_report.material.runs("usf_sn.channels")[0]


def expected(record: Record) -> np.ndarray:
    places = torch.tensor(record.series["channels"][LAYER][FORM]["exemplars"])
    return IMAGES.test.pixels[places][..., 4:28, 4:28, :].numpy()


def test_exemplars_are_the_images_that_the_record_means(record: Record) -> None:
    found = Pictures(lambda: IMAGES, 24).exemplars(record, LAYER, FORM)
    assert found is not None
    np.testing.assert_array_equal(found, expected(record))


def test_other_images_are_never_shown_in_their_place(record: Record) -> None:
    assert Pictures(lambda: OTHERS, 24).exemplars(record, LAYER, FORM) is None
    nameless = replace(record, provenance={})
    assert Pictures(lambda: IMAGES, 24).exemplars(nameless, LAYER, FORM) is None


def test_a_mosaic_holds_every_image_in_its_place() -> None:
    pixels = np.arange(2 * 3 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 4, 3)
    picture, step = _mosaic(pixels)
    assert (picture.shape, step) == ((9, 14, 4), 5)
    for i, j in np.ndindex(2, 3):
        at = picture[i * step : i * step + 4, j * step : j * step + 4]
        np.testing.assert_array_equal(at[..., :3], pixels[i, j])
        assert (at[..., 3] == 255).all()
    assert (picture[..., 3] == 0).sum() == 9 * 14 - 6 * 16


def test_images_and_classes_are_shown_of_every_network(invented_report: Report) -> None:
    images, classes = exemplar_figures(invented_report.material)
    assert isinstance(images, Figure)
    assert isinstance(classes, Figure)
    assert [panel.alt.partition(",")[0] for panel in images.panels] == ["uSF SN", "untrained"]
    assert "seed 0, channels 0, 1: " in images.panels[0].alt
    assert "sign left out" in classes.panels[0].alt
    assert "each would have 0.8" in classes.caption


def test_counts_by_class_are_means_over_seeds_and_leave_groups_out(invented_report: Report) -> None:
    material = invented_report.material
    _, classes = exemplar_figures(material)
    assert isinstance(classes, Figure)
    measure = f"exemplar_classes/{LAYER}/{FORM}"
    discs = material.values("usf_sn.channels", measure, "disc")
    assert len(discs) == 3
    assert f'<td class="number">{sum(discs.values()) / 3:.2g}</td>' in classes.numbers
    assert "round" not in classes.numbers


def test_without_images_the_classes_stay_and_it_is_said_how_to_have_the_images(
    invented_report: Report,
) -> None:
    images, classes = exemplar_figures(replace(invented_report.material, pictures=None))
    assert isinstance(images, Missing)
    assert "fa-audit report STUDY --data DIR, with CIFAR-10 in DIR" in images.reason
    assert isinstance(classes, Figure)


def test_other_images_at_hand_are_said_to_be_others(invented_report: Report) -> None:
    material = replace(invented_report.material, pictures=Pictures(lambda: OTHERS, 24))
    images, _ = exemplar_figures(material)
    assert isinstance(images, Missing)
    assert "not those that the records name" in images.reason


def test_the_page_holds_the_images_itself(invented_page: Path) -> None:
    markup = invented_page.read_text(encoding="utf-8")
    assert markup.count('href="data:image/png;base64,') == 2


def test_a_network_whose_activations_overflow_leaves_a_gap_and_nothing_else(
    invented_report: Report,
) -> None:
    material = invented_report.material
    evidence = material.evidence
    broken = {
        seed: replace(
            record,
            series={},
            measurements={
                name: {**found, "values": dict.fromkeys(found["values"])}
                for name, found in record.measurements.items()
            },
        )
        for seed, record in material.runs("usf_sn.channels").items()
    }
    records = {**evidence.records, "usf_sn.channels": broken}
    images, classes = exemplar_figures(
        replace(material, evidence=replace(evidence, records=records))
    )
    assert isinstance(images, Figure)
    assert [panel.alt.partition(",")[0] for panel in images.panels] == ["untrained"]
    assert isinstance(classes, Figure)
    assert "uSF SN none; untrained " in classes.panels[0].alt
    assert '<td class="number">–</td>' in classes.numbers
    assert "<svg" in panel_svg(classes.panels[0], "p")
