"""Questions asked of networks. One module each: it says the claim, declares its grid, and measures one unit of it.

A module holds `Settings` (a frozen dataclass of all parameters; changing one is changing the experiment), `GRID` (the names
of those settings that only span the grid), ``units(settings)`` (the grid, as dicts) and ``measure(settings, unit, device)``
(the rows of one unit). `empirical.runner` carries them out.
"""

#: Modules of this package, in the order in which they are best read.
EXPERIMENTS = (
    "circle_kernel",
    "circle_outputs",
    "principal_components",
    "width",
    "narrow_ensembles",
    "output_scale",
    "grokking",
    "weight_vs_fraction",
    "scores",
    "gap",
    "teacher_capacity",
    "teacher_fraction",
    "rounds",
    "human_noise",
)
