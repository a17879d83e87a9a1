"""Measurements that no figure shows, as tables, so that nothing of the ledger is hidden."""

from collections.abc import Callable

from fa_audit.report.figures.marks import CELL_HEADS, cells
from fa_audit.report.html import Html, table
from fa_audit.report.material import Material
from fa_audit.report.names import measure_title, place_title, subject_title

CHANNELS = ("channel", "exemplar")
"""How the names of measures of single channels begin."""

SHOWN = (
    "test_accuracy",
    "validation_accuracy",
    "local_angle",
    "true_angle",
    "sign_concordance",
    "distance",
    "effective_rank",
    "cka",
)
"""Measures, up to their first slash, that have figures."""


def channel_measurements(material: Material) -> Html | None:
    """What was measured of single channels; None where nothing was."""
    return _measurements(
        material, "Measurements of single channels", lambda name: name.startswith(CHANNELS)
    )


def other_measurements(material: Material) -> Html | None:
    """All that stands nowhere else; None where there is nothing."""
    return _measurements(
        material,
        "Other measurements",
        lambda name: name not in SHOWN and not name.startswith(CHANNELS),
    )


def _measurements(material: Material, title: str, wanted: Callable[[str], bool]) -> Html | None:
    """Measure, place and values over seeds, of measures whose name is wanted."""
    rows: list[list[str]] = []
    for id in material.evidence.records:
        measures = dict.fromkeys(
            measure for record in material.runs(id).values() for measure in record.measurements
        )
        for measure in measures:
            if not wanted(measure.partition("/")[0]):
                continue
            units = {
                str(record.measurements[measure].get("unit", ""))
                for record in material.runs(id).values()
                if measure in record.measurements
            }
            rows += [
                [
                    measure_title(measure),
                    subject_title(id),
                    place_title(at),
                    *cells(
                        material.values(id, measure, at), material.published(id, measure, at), 4
                    ),
                    ", ".join(sorted(units - {"1"})),
                ]
                for at in material.places([id], measure)
            ]
    if not rows:
        return None
    rows.sort(key=lambda row: row[0])
    return table(
        ("measure", "of", "at", *CELL_HEADS, "unit"),
        rows,
        title,
        numeric=range(3, 8),
    )
