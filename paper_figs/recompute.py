"""Measuring again what a figure has recorded: its experiment with the settings of the record, or with others.

Nothing of `empirical` is loaded here: experiments need PyTorch, which the figures do without, and run in a process of their
own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from paper_figs.regression_data import DATA, RECORDED

__all__ = ["EXPERIMENTS", "command", "recompute"]

#: What a figure draws: the experiment, and the name of its record where that is another.
EXPERIMENTS = {
    "jacot_kernel": ("circle_kernel",),
    "jacot_outputs": ("circle_outputs",),
    "jacot_components": ("principal_components",),
    "width_convergence": ("width", "narrow_ensembles"),
    "wide_path": ("width",),
    "output_scale": ("output_scale",),
    "lazy_to_rich": ("grokking",),
    "network_weights": ("weight_vs_fraction",),
    "network_rules": ("weight_vs_fraction",),
    "network_scores": ("scores",),
    "network_gap": ("gap",),
    "network_capacity": ("teacher_capacity",),
    "network_teacher_fraction": ("teacher_fraction",),
    "network_rounds": ("rounds",),
    "network_human_noise": ("human_noise",),
}
RECORDS = {name: f"network_{name}" for name in ("teacher_capacity", "teacher_fraction", "rounds", "human_noise")}


def command(experiment: str, folder: Path, changes: Sequence[str]) -> list[str]:
    """The command that measures an experiment with the settings of its record, and then with these changes."""
    path = DATA / f"{RECORDS.get(experiment, experiment)}.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"settings": {}}
    settings = [f"{name}={_tuples(value)!r}" for name, value in record["settings"].items()]
    sets = [word for setting in (*settings, *changes) for word in ("--set", setting)]
    return [sys.executable, "-m", "empirical", "run", experiment, "--out", str(folder), "--runs", str(folder / "runs"), *sets]


def recompute(name: str, folder: Path, changes: Sequence[str] = ()) -> None:
    """Run a figure's experiments into a folder, from which the figure is drawn from then on; units that are there are kept.

    Raises
    ------
    ValueError
        If the figure draws no experiment, or one fails.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"--recompute must be for figures of trained networks, {', '.join(EXPERIMENTS)}, got {name!r}.")
    for experiment in EXPERIMENTS[name]:
        if subprocess.run(command(experiment, folder, changes), check=False).returncode:
            raise ValueError(
                f"--recompute stopped: {experiment} failed as it says above; what is finished is kept in {folder}."
            )
        for suffix in (".csv", ".json"):
            made, wanted = (folder / f"{stem}{suffix}" for stem in (experiment, RECORDS.get(experiment, experiment)))
            if made != wanted:
                shutil.copyfile(made, wanted)
    os.environ[RECORDED] = str(folder)


def _tuples(value: object) -> object:
    """JSON's lists as the tuples that they were."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
