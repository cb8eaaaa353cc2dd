"""Writing a figure and its numbers: whole, or not at all."""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from paper_figs.style import Table

__all__ = ["write"]


def write(name: str, table: Table, figure: Figure, folder: Path) -> list[Path]:
    """NAME.csv, NAME.pdf and NAME.png; they appear in the folder together, once all three are complete."""
    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / f"{name}.{suffix}" for suffix in ("csv", "pdf", "png")]
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as scratch:
        drafts = [Path(scratch) / target.name for target in targets]
        with drafts[0].open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(table)
            writer.writerows(zip(*(_cells(column.tolist()) for column in table.values()), strict=True))
        for draft in drafts[1:]:
            figure.savefig(draft, metadata={"CreationDate": None} if draft.suffix == ".pdf" else None)
        for draft, target in zip(drafts, targets, strict=True):
            os.replace(draft, target)
    plt.close(figure)
    return targets


def _cells(values: list[object]) -> list[object]:
    return [repr(value) if isinstance(value, float) else value for value in values]
