"""Every published number that `paper_figs/data` holds, beside ours.

``python -m paper_figs.published_numbers`` prints them, ``--paper WORD`` those of one paper; docs/paper_numbers.md is the page.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from paper_figs import published_ours, toy_losses
from paper_figs.published_tables import VERDICTS

__all__ = ["EARLIER", "OUTCOMES", "Row", "rows", "verdict"]

OUTCOMES = AGREE, NEAR, DIFFER, OTHER, NOT_RUN = "agree", "one unit off", "differ", "other setting", "not run"
BORUP, DAS = "Borup & Andersen (2021)", "Das & Sanghavi (2023)"
PAREEK, DANG = "Pareek, Du & Oh (2024)", "Dang, Patil & Rinaldo (2026)"
EARLIER = "Not published: an earlier run, other code"
CELLS = {  # of das_sanghavi_reported.csv
    "teacher_weight": ("best teacher weight", ""),
    "accuracy_teacher": ("accuracy of the teacher", "%"),
    "accuracy_student": ("accuracy of the student", "%"),
    "gain": ("gain of the student", "points"),
}


@dataclass(frozen=True)
class Row:
    """One published number: `source` is its place in paper_figs/data; `value` is ours where the digits can be compared."""

    paper: str
    arxiv: str
    where: str
    quantity: str
    published: str
    unit: str
    status: str
    source: str
    note: str = ""
    ours: str = ""
    value: float | None = None
    verdict: str = NOT_RUN
    command: str = ""

    def compared(self, value: float, command: str) -> Row:
        """With ours of the same quantity, a digit more than printed, and what the printed digits say of it."""
        if self.published in ("yes", "no"):
            shown = "yes" if value else "no"
        else:
            shown = f"{value:.{len(self.published.partition('.')[2]) + 1}f} {self.unit}".rstrip()
        return replace(self, ours=shown, value=value, verdict=verdict(self.published, value), command=command)

    def elsewhere(self, ours: str, command: str) -> Row:
        """With ours in another setting, which nothing compares."""
        return replace(self, ours=ours, verdict=OTHER, command=command)


def verdict(published: str, value: float) -> str:
    """Of ours, rounded as the printed value is: "agree", "one unit off" in the last printed place, or "differ".

    >>> verdict("1.06", 1.0635), verdict("1.99", 1.9971), verdict("9.03", 9.01), verdict("no", 1.0)
    ('agree', 'one unit off', 'differ', 'differ')
    """
    if published in ("yes", "no"):
        return AGREE if (published == "yes") == bool(value) else DIFFER
    printed = Decimal(published)
    unit = Decimal(1).scaleb(int(printed.as_tuple().exponent))
    off = abs(Decimal(repr(float(value))).quantize(unit) - printed) / unit
    return AGREE if off == 0 else NEAR if off == 1 else DIFFER


def rows() -> list[Row]:
    """Every published number once, paper by paper."""
    found = [*_toy(), *_das_sanghavi(), *_tables(), *_others()]
    papers = dict.fromkeys([BORUP, DAS, PAREEK, DANG, *(row.paper for row in found if row.paper != EARLIER), EARLIER])
    order = {paper: place for place, paper in enumerate(papers)}
    return sorted(found, key=lambda row: order[row.paper])


def _toy() -> Iterator[Row]:
    ours = toy_losses.compute()["ours"].tolist()
    for i, (line, value) in enumerate(zip(published_ours.lines("borup_andersen_losses.csv"), ours, strict=True)):
        step = "limit" if line["round"] == "inf" else f"round {line['round']}"
        quantity = f"loss of the toy example, teacher weight {line['teacher_weight']}, {step}"
        place, note = f"authors' {line['where']}", "their table is headed alpha = 0.25" if line["where"] == "README" else ""
        row = Row(
            BORUP, "2102.13088", place, quantity, line["published"], "", "printed", f"borup_andersen_losses.csv:{i}", note
        )
        yield row.compared(value, "python -m paper_figs toy_losses")


def _das_sanghavi() -> Iterator[Row]:
    for i, line in enumerate(published_ours.lines("das_sanghavi_reported.csv")):
        share, data = float(line["noise_share"]), line["dataset"]
        noise = f"{share:.0%} of the labels wrong" if share else "no labels wrong"
        for column, (name, unit) in CELLS.items():
            if line[column]:
                about = ("experiments", f"{name}, {data}, cross-entropy, {noise}", line[column], unit)
                place = f"das_sanghavi_reported.csv:{i}:{column}"
                yield Row(
                    DAS, "2301.13304", *about, "second-hand (analysis note)", place, f"needs ResNet-34 features of {data}"
                )


def _tables() -> Iterator[Row]:
    for i, line in enumerate(published_ours.lines("regression_tables.csv")):
        quantity, data, status = line["quantity"], line["data"], line["status"]
        holds = quantity.endswith(VERDICTS)
        paper, arxiv = (PAREEK, "2407.04600") if "Pareek" in line["source"] else (DANG, "2602.17565")
        where = line["source"].rpartition(", ")[2]
        if status.startswith("earlier run"):
            paper, arxiv, where = EARLIER, "", "protocol of Dang, Patil & Rinaldo (2026)"
        elif paper == DANG:
            where = "Table 2, as a reproduction quotes it" if holds else "a reproduction of Table 2, its claim 6"
        printed = ("no", "yes")[int(line["published"])] if holds else line["published"]
        name, unit = quantity.removesuffix(" (%)"), "%" if quantity.endswith(" (%)") else ""
        about = (where, f"{name}, {data.replace('_', ' ')}", printed, unit, status, f"regression_tables.csv:{i}")
        row = Row(paper, arxiv, *about)
        ours = [one for one in published_ours.lines("regression_tables_ours.csv") if one["split"] != "random"]
        ours = [one for one in ours if (one["data"], one["quantity"]) == (data, quantity)]
        if ours:
            (one,) = ours
            yield row.compared(float(one["ours"]), "python -m paper_figs published_tables")
        else:
            yield replace(row, note="needs features of CIFAR-10 by a ResNet-18")


def _others() -> Iterator[Row]:
    for line in published_ours.lines("published_numbers.csv"):
        quantity = ", ".join(part for part in (line["quantity"], line["conditions"]) if part)
        about = (line["where"], quantity, line["published"], line["unit"], line["status"])
        row = Row(line["paper"], line["arxiv"], *about, f"published_numbers.csv:{line['key']}", line["note"])
        name, *arguments = line["key"].split(":")
        if line["comparison"] == "same":
            ours, command = published_ours.SAME[name]
            yield row.compared(ours(*arguments), command)
        elif line["comparison"] == "other":
            words, command = published_ours.ELSEWHERE[name]
            yield row.elsewhere(words(*arguments), command)
        else:
            yield row


def main(arguments: list[str] | None = None) -> None:
    """Print rows."""
    parser = argparse.ArgumentParser(description="Published numbers beside ours.")
    parser.add_argument("--paper", default="", metavar="WORD", help="only papers with this word in their name")
    word = parser.parse_args(arguments).paper.lower()
    chosen = [row for row in rows() if word in row.paper.lower()]
    if not chosen:
        parser.error(f"--paper must be a word of {', '.join(dict.fromkeys(row.paper for row in rows()))}, got {word!r}.")
    for row in chosen:
        print(
            f"{row.paper}: {row.quantity}\n    published {row.published} {row.unit} ({row.status}); ours {row.ours or 'none'}"
        )
        print(f"    {row.verdict}{f': {row.note}' if row.note else ''}")


if __name__ == "__main__":
    main()
