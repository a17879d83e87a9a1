"""Where the numbers come from: versions, data, seeds, settings and every run."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from fa_audit.report.html import Child, Html, join, table, tag
from fa_audit.report.material import Material
from fa_audit.report.names import configuration_title, subject_title
from fa_audit.study.ledger import Record


def run_anchor(record: Record) -> str:
    """The id of a record's row."""
    return f"run-{record.stem}"


def link_to_run(record: Record) -> Html:
    """A link to a record's row, named by its subject, seed and hash."""
    return tag(
        "a",
        f"{subject_title(record.id)}, seed {record.seed} ",
        tag("code", record.hash[:12]),
        " (diverged)" if record.status == "diverged" else None,
        href=f"#{quote(run_anchor(record), safe='~=+')}",
    )


def study_facts(material: Material) -> Html:
    """What was run, on what, with how many seeds: the least that a reader has to know."""
    seeds = material.study.seeds
    declared = sum(len(material.evidence.seeds_of(id)) for id in material.evidence.records)
    epochs = " and ".join(map(str, material.epochs_of(material.configurations))) or "none yet"
    items = (
        ("Data", material.data_title),
        ("Seeds", f"{len(seeds)} ({', '.join(map(str, seeds))})"),
        ("Epochs", epochs),
        ("Runs and measurements", f"{len(material.records)} of {declared} declared"),
        ("Claims", str(len(material.verdicts))),
    )
    return tag("dl", (tag("div", tag("dt", k), tag("dd", v)) for k, v in items), class_="facts")


def facts(material: Material) -> Html:
    """Versions, devices, data and time, each value once."""
    records = material.records
    sources = [record.provenance for record in records]

    def all_of(key: str) -> str:
        return ", ".join(dict.fromkeys(str(one[key]) for one in sources if key in one)) or "–"

    data = [one["data"] for one in sources if "data" in one]
    prints = dict.fromkeys(
        f"{split} {one[split]}" for one in data for split in ("train", "test") if split in one
    )
    seconds = sum(float(one.get("seconds", 0)) for one in sources)
    rows: list[tuple[str, Child]] = [
        ("Study", f"{material.study.title} ({material.study.name})"),
        ("Source", material.study.source),
        ("Data", material.data_title),
        ("SHA-256 of the images", tag("span", join(_lines(prints)), class_="hash")),
        ("Seeds, declared beforehand", ", ".join(map(str, material.study.seeds))),
        ("Code", all_of("code")),
        ("Python; PyTorch", f"{all_of('python')}; {all_of('torch')}"),
        ("Device; threads", f"{all_of('device')}; {all_of('threads')}"),
        ("Time of all runs and measurements", _duration(seconds)),
        ("Claims", f"{material.claims.paper}. Read from: {material.claims.source}"),
    ]
    return tag("dl", (tag("div", tag("dt", term), tag("dd", text)) for term, text in rows))


def _lines(texts: Mapping[str, None]) -> Iterator[Child]:
    for i, text in enumerate(texts):
        if i:
            yield tag("br")
        yield text


def _duration(seconds: float) -> str:
    """Seconds in words: "1 h 24 min"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def settings(material: Material) -> Html:
    """What every configuration was trained with; what they share stands once."""
    flat = {
        id: _flat(next(iter(by_seed.values())).to_json())
        for id, by_seed in material.study.configurations.items()
    }
    keys = list(dict.fromkeys(key for one in flat.values() for key in one))
    shared = [key for key in keys if len({str(one.get(key)) for one in flat.values()}) == 1]
    own = [key for key in keys if key not in shared]
    first = next(iter(flat.values()))
    seeds = {id: ", ".join(map(str, by)) for id, by in material.study.configurations.items()}
    own_seeds = len(set(seeds.values())) > 1
    return join(
        tag(
            "p",
            "Shared by all: ",
            ", ".join(f"{key} = {first[key]}" for key in shared if key != "kind"),
            ".",
            class_="small",
        ),
        table(
            ("configuration", *own, *(["seeds"] if own_seeds else [])),
            [
                [
                    configuration_title(id),
                    *(_written(one.get(key)) for key in own),
                    *([seeds[id]] if own_seeds else []),
                ]
                for id, one in flat.items()
            ],
            "Settings in which the configurations differ",
        ),
    )


def _written(value: Any) -> str:
    return "–" if value is None else str(value)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one table, without the seed."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found.update(_flat(value, "" if key == "training" else f"{key}."))
        elif key != "seed":
            found[prefix + key] = value
    return found


def runs_table(material: Material) -> Html:
    """Every record with its hash, what it came to and what made it; gaps included."""
    rows: list[list[Child]] = []
    for id, by_seed in material.evidence.records.items():
        for seed in material.evidence.seeds_of(id):
            record = by_seed.get(seed)
            if record is None:
                rows.append([subject_title(id), seed, "missing", *["–"] * 7])
            else:
                rows.append(_run_row(record))
    return table(
        (
            "run or comparison",
            "seed",
            "status",
            "epochs",
            "test accuracy (%)",
            "last training loss (nats)",
            "seconds",
            "finished",
            "configuration",
            "code; device",
        ),
        rows,
        "Every run and comparison of the study",
        numeric=(1, 3, 4, 5, 6),
    )


def _run_row(record: Record) -> list[Child]:
    measured, made = record.measurements, record.provenance
    accuracy = measured.get("test_accuracy", {}).get("values", {}).get("best-validation")
    epochs = record.configuration.get("training", {}).get("epochs", "–")
    return [
        tag("span", subject_title(record.id), id=run_anchor(record)),
        record.seed,
        record.status,
        epochs,
        "–" if accuracy is None else f"{accuracy:.2f}",
        _loss_text(record),
        f"{float(made.get('seconds', 0)):.0f}",
        str(made.get("finished", "–")).partition("T")[0],
        tag("code", record.hash[:12]),
        f"{made.get('code', 'unknown')}; {made.get('device', 'unknown')}",
    ]


def _loss_text(record: Record) -> str:
    """The last training loss, and whether it stands above that of guessing."""
    if "train_loss" not in record.measurements:
        return "–"
    loss = record.measurements["train_loss"]["values"]["last"]
    shown = "not finite" if loss is None else f"{loss:.3g}"
    return f"{shown} > chance" if loss_above_chance(record) else shown


def loss_above_chance(record: Record) -> bool:
    """Whether a run ended with a training loss above guessing's, or with none that is finite."""
    entry = record.measurements.get("train_loss")
    if entry is None:
        return False
    loss = entry.get("values", {}).get("last")
    return loss is None or float(loss) > float(entry.get("chance", "inf"))
