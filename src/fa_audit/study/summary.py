"""A study's runs at a glance: accuracy of every seed, and where the loss stands above chance."""

from pathlib import Path

from fa_audit.study.cells import RunCell, study_cells
from fa_audit.study.ledger import Ledger, Record
from fa_audit.study.spec import Study


def run_table(study: Study, folder: Path) -> str:
    """Test accuracy at the best validation epoch and last training loss, seed by seed, as text."""
    ledger = Ledger(folder / "ledger")
    runs = study.configurations
    seeds = [seed for seed in study.all_seeds if any(seed in by_seed for by_seed in runs.values())]
    rows = {id: dict.fromkeys(seeds, "") for id in runs}
    above_chance = chance = 0.0
    for cell in study_cells(study):
        if not isinstance(cell, RunCell):
            continue
        record = ledger.find(cell.id, cell.seed, cell.hash)
        if record is None:
            rows[cell.id][cell.seed] = "not run"
            continue
        loss, chance = _last_loss(record), record.measurements["train_loss"]["chance"]
        high = loss is None or loss > chance
        above_chance += high
        accuracy = record.measurements["test_accuracy"]["values"]["best-validation"]
        shown = "not finite" if loss is None else f"{loss:.2f}"
        mark = "!" if high else " "
        rows[cell.id][cell.seed] = f"{accuracy:5.1f} % ({shown}{mark})"
    if not rows:
        return f"{study.title}: no runs, only what is measured of them"
    width = max(len(id) for id in rows) + 2
    cell_width = max(len(text) for row in rows.values() for text in row.values()) + 2
    title = "test accuracy at the best validation epoch (training loss of the last epoch, nats)"
    heads = "".join(f"seed {seed}".rjust(cell_width) for seed in seeds)
    lines = [f"{study.title}: {title}", " " * width + heads]
    lines += [
        (id.ljust(width) + "".join(text.rjust(cell_width) for text in row.values())).rstrip()
        for id, row in rows.items()
    ]
    if above_chance:
        lines.append(f"! the training loss stands above chance, {chance:.2f}: logits explode")
    return "\n".join(lines)


def _last_loss(record: Record) -> float | None:
    value = record.measurements["train_loss"]["values"]["last"]
    return None if value is None else float(value)
