"""Published numbers beside ours: the page is current, every verdict follows from the digits, and what the page says holds."""

import csv
import importlib.util
import re
import shlex
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from empirical.experiments import EXPERIMENTS
from paper_figs import published_numbers, published_ours
from paper_figs.__main__ import FIGURES
from paper_figs.published_numbers import AGREE, DIFFER, EARLIER, NEAR, NOT_RUN, OTHER, OUTCOMES, verdict

ROOT = Path(__file__).parents[1]
DATA = ROOT / "paper_figs" / "data"
PUBLISHED = ("borup_andersen_losses.csv", "das_sanghavi_reported.csv", "regression_tables.csv", "published_numbers.csv")


def script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def found():
    return published_numbers.rows()


@pytest.fixture(scope="module")
def pages():
    return script(ROOT / "docs" / "paper_numbers.py")


def table(name):
    with (DATA / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_page_is_current(pages):
    assert pages.PAGE.read_text(encoding="utf-8") == pages.page(), "run: python docs/paper_numbers.py"


def test_every_published_number_stands_on_the_page_once(found, pages):
    sources = Counter(row.source for row in found)
    assert set(sources.values()) == {1}
    wanted = {f"borup_andersen_losses.csv:{i}" for i in range(len(table(PUBLISHED[0])))}
    wanted |= {
        f"das_sanghavi_reported.csv:{i}:{column}"
        for i, line in enumerate(table(PUBLISHED[1]))
        for column in ("teacher_weight", "accuracy_teacher", "accuracy_student", "gain")
        if line[column]
    }
    wanted |= {f"regression_tables.csv:{i}" for i in range(len(table(PUBLISHED[2])))}
    wanted |= {f"published_numbers.csv:{line['key']}" for line in table(PUBLISHED[3])}
    assert set(sources) == wanted
    text = pages.page().partition("## ")[2]  # below the summary
    for row in found:
        assert pages.cells(*pages.shown(row)) in text
    assert sum(line.startswith("| ") for line in pages.table().splitlines()) == len(found) + 1


def test_printed_digits_are_those_of_the_data(found):
    printed = {row.source: row.published for row in found}
    for i, line in enumerate(table("borup_andersen_losses.csv")):
        assert printed[f"borup_andersen_losses.csv:{i}"] == line["published"]
    for i, line in enumerate(table("regression_tables.csv")):
        assert printed[f"regression_tables.csv:{i}"] in (line["published"], {"0": "no", "1": "yes"}.get(line["published"]))
    for line in table("published_numbers.csv"):
        assert printed[f"published_numbers.csv:{line['key']}"] == line["published"]
        assert line["where"]
        assert line["status"]
        assert bool(line["note"]) == (line["comparison"] != "same"), line["key"]


def second_verdict(published, value):
    """By exact fractions: the distance to the nearest multiple of the last printed place, halves to even."""
    if published in ("yes", "no"):
        return AGREE if published == ("yes" if value else "no") else DIFFER
    place = Fraction(10) ** Decimal(published).as_tuple().exponent
    units = round(Fraction(repr(value)) / place) - Fraction(published) / place
    return {0: AGREE, 1: NEAR}.get(abs(units), DIFFER)


def test_verdicts_follow_from_the_digits(found):
    compared = [row for row in found if row.value is not None]
    assert len(compared) > 60
    for row in compared:
        assert row.verdict == second_verdict(row.published, row.value), row
        assert (
            row.ours == {0.0: "no", 1.0: "yes"}.get(row.value)
            if row.published in ("yes", "no")
            else float(row.ours.split()[0])
        )
    for row in found:
        assert row.verdict in OUTCOMES
        assert (row.verdict == NOT_RUN) == (not row.ours) == (not row.command), row
        assert (row.verdict == OTHER) == (row.value is None and bool(row.ours)), row
        assert row.note or row.verdict in (AGREE, NEAR, DIFFER), row


@pytest.mark.parametrize(
    ("published", "value", "wanted"),
    [
        ("1.06", 1.0649, AGREE), ("1.06", 1.0651, NEAR), ("1.06", 1.0749, NEAR), ("1.06", 1.0751, DIFFER), ("47", 47.4, AGREE),
        ("-1.60", -1.582, DIFFER), ("1.1e-4", 1.14e-4, AGREE), ("1.1e-4", 1.16e-4, NEAR), ("0.050", 0.0504, AGREE),
        ("9.03", 9.01, DIFFER), ("yes", 0.0, DIFFER), ("no", 0.0, AGREE), ("2.000000", 2.0000004, AGREE),
        ("0.2", -0.2, DIFFER),
    ],
)  # fmt: skip
def test_verdict(published, value, wanted):
    assert verdict(published, value) == wanted == second_verdict(published, value)


@pytest.mark.parametrize(
    ("name", "rows"),
    [("borup_andersen_losses.csv", [3, 20]), ("regression_tables.csv", [0, 3]), ("published_numbers.csv", [7])],
)
def test_a_changed_digit_changes_the_verdict(monkeypatch, found, name, rows):
    read = published_ours.lines

    def changed(file):
        if file != name:
            return read(file)
        lines = [dict(line) for line in read(file)]
        for i in rows:
            text = lines[i]["published"]
            lines[i]["published"] = text[:-1] + str((int(text[-1]) + 5) % 10)
        return lines

    monkeypatch.setattr(published_ours, "lines", changed)
    after = {row.source: row.verdict for row in published_numbers.rows()}
    flipped = [row for row in found if row.verdict != after[row.source]]
    assert [row.verdict for row in flipped] == [AGREE] * len(rows)
    assert all(after[row.source] == DIFFER and row.source.startswith(name) for row in flipped)


def test_commands_exist(found):
    for command in {row.command for row in found if row.command}:
        program, flag, module, *arguments = shlex.split(command)
        assert (program, flag) == ("python", "-m")
        assert importlib.util.find_spec(module) is not None
        if module == "paper_figs":
            assert len(arguments) == 1
            assert arguments[0] in FIGURES
        elif module == "empirical":
            assert arguments[1] in EXPERIMENTS
        else:
            assert module == "paper_figs.published_numbers"
            assert any(arguments[1] in row.paper for row in found)


def test_the_command_prints_a_paper(capsys):
    published_numbers.main(["--paper", "kirsch"])
    assert re.fullmatch(r"Kirsch .*\n    published 0\.83 .*; ours 0\.\d\d\n    other setting: .*\n", capsys.readouterr().out)
    with pytest.raises(SystemExit):
        published_numbers.main(["--paper", "nobody"])
    assert "--paper must be a word of Borup" in capsys.readouterr().err


def test_the_summary_counts_every_number(found, pages):
    lines = [re.split(r" ?\| ?", line)[1:-1] for line in pages.summary(found).splitlines()[2:]]
    counts = {name.strip("*"): [int(text.strip("*") or 0) for text in numbers[:-1]] for name, *numbers in lines}
    assert all(total == sum(verdicts) >= printed for total, printed, *verdicts in counts.values())
    papers = [numbers for name, numbers in counts.items() if name not in ("all published", EARLIER)]
    assert np.array(papers).sum(axis=0).tolist() == counts["all published"]
    assert counts["all published"][0] + counts[EARLIER][0] == len(found)


def test_limit_of_white_features_by_its_own_formula(found):
    """The best weight is zero at the penalty gamma noise / signal; elsewhere by differences of the two-point risk."""
    kinds = [line["key"] for line in table("published_numbers.csv") if line["key"].startswith("isotropic:")]
    ours = {row.source.partition(":")[2]: row.value for row in found}
    for key in kinds:
        gamma, r2, s2 = map(float, key.split(":")[1:4])
        at = key.split(":")[4]
        zero = gamma * s2 / r2
        x = zero if at == "zero" else zero * float(at)
        h = 1e-4

        def risk(first, second):
            k1, k2 = (((x + gamma - 1) + np.sqrt((x + gamma - 1) ** 2 + 4 * x)) / 2 for x in (first, second))
            bias = k1 * k2 / ((1 + k1) * (1 + k2)) * r2
            return (s2 + bias) / (1 - gamma / ((1 + k1) * (1 + k2)))

        slope = (risk(x * (1 + h), x) - risk(x * (1 - h), x)) / (2 * h)  # of one ridge, along its logarithm
        corners = [
            sign * risk(x * (1 + a * h), x * (1 + b * h)) for a, b, sign in ((1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1))
        ]
        weight = -slope / (sum(corners) / (4 * h**2))
        assert ours[key] == pytest.approx(zero if at == "zero" else weight, abs=1e-5), key


def test_computed_and_recorded_agree():
    """The kernel's eigenvalues, and the counts of wrong labels where the experiment's samples of them are recorded."""
    recorded = [
        published_ours.mean("principal_components.csv", f"{name}_value", data="digits", part="components")
        for name in ("first", "second", "third")
    ]
    np.testing.assert_allclose(published_ours.digits_eigenvalues(0.1), recorded, rtol=1e-5)
    for line in table("published_numbers_ours.csv"):
        if line["labels"] in ("aggre", "random1", "worst"):
            sampled = published_ours.mean("network_human_noise.csv", "rate", labels=line["labels"], noise="human")
            assert sampled == pytest.approx(int(line["wrong"]) / int(line["rows"]), abs=0.01)


def test_counting_wrong_labels(tmp_path):
    clean = np.arange(6) % 3
    labels = {kind: np.where(np.arange(6) < i, (clean + 1) % 3, clean) for i, kind in enumerate(published_ours.PEOPLE)}
    np.savez(tmp_path / "labels.npz", clean=clean, **labels)
    published_ours.main(["--labels", str(tmp_path / "labels.npz"), "--record", str(tmp_path / "out.csv")])
    assert (tmp_path / "out.csv").read_text().split() == [
        "labels,wrong,rows",
        *(f"{kind},{i},6" for i, kind in enumerate(published_ours.PEOPLE)),
    ]


def test_what_the_paragraphs_say_holds(found):
    ours = {
        row.source.partition(":")[2]: [
            float(x.replace("\u2212", "-")) for x in re.findall(r"[+-]?\d+(?:\.\d+)?(?:e-\d+)?", row.ours)
        ]
        for row in found
    }
    assert all(weight > 1 for weight in ours["das-theory"])
    assert max(ours["das-entropy-50"] + ours["das-entropy-30"]) < 1
    few, _, all_rows, _ = ours["ben-baruch-share"]
    assert few > all_rows
    clean, noisy, _ = ours["ben-baruch-gap"]
    assert clean < 1
    assert noisy > 8
    assert max(ours["ben-baruch-half"]) < 0
    digits, fashion = ours["paul-half"]
    assert abs(digits) < 0.5 < -fashion
    assert ours["zheng-90"][0] > 34.03
    assert ours["zheng-random"][0] > 0 > ours["zheng-random"][1]
    assert ours["kirsch-rank"][0] < 0.83
    assert ours["kumar-test"][0] < 1.1e-4 < ours["kumar-test"][-1]
    assert 5 < ours["jacot-bias"][0] < 20
    assert {row.verdict for row in found if re.search("borup_andersen_losses|:isotropic", row.source)} == {AGREE}
    differ = [row.source for row in found if row.verdict == DIFFER and row.paper != EARLIER]
    assert [name for name in differ if name.startswith("published")] == ["published_numbers.csv:wei:aggre"]
    notes = {row.status for row in found if row.verdict == DIFFER and "appliances" in row.quantity}
    assert notes == {"recalled, not confirmed"}


def test_statuses_say_how_a_number_is_known(found):
    kinds = {re.sub(r" \(.*", "", row.status) for row in found}
    assert kinds == {
        "printed", "second-hand", "second-hand reproduction", "recalled, not confirmed", "computed from published arrays",
        "earlier run, other code",
    }  # fmt: skip
    assert {row.paper for row in found if row.status.startswith("earlier")} == {EARLIER}


def test_conditions_that_fit_nothing_are_refused():
    with pytest.raises(ValueError, match=r"`conditions` must fit rows of scores.csv, got \{'data': 'nobody'\}"):
        published_ours.values("scores.csv", "accuracy", data="nobody")
