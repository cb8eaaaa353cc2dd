"""Figures of the papers, and what they cannot show: one file per figure, ``compute() -> table``, ``draw(table) -> Figure``.

``python -m paper_figs --list`` names them; ``python -m paper_figs NAME`` writes NAME.pdf, NAME.png and NAME.csv. A table is a
dictionary of equally long columns; the CSV holds it to the last digit.
"""
