"""The papers' pages: their code runs, what they name exists, and their numbers are those of the recorded tables."""

from __future__ import annotations

import csv
import importlib
import pkgutil
import re
import shlex
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

import kdtheory as kd
from empirical.experiments import EXPERIMENTS
from kdtheory import theorems
from paper_figs import noise_weight, one_shot_bias, toy_losses
from paper_figs.__main__ import FIGURES
from paper_figs.toy import Toy

ROOT = Path(__file__).parents[1]
DATA = ROOT / "paper_figs" / "data"
CODE = re.compile(r"```.*?```", re.DOTALL)
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "papers").glob("*.md"))}
PROSE = {page: " ".join(CODE.sub("", text).split()) for page, text in PAGES.items()}
VERDICTS = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
PUBLISHED = (ROOT / "docs" / "paper_numbers.md").read_text(encoding="utf-8")
N = r"(-?\+?\d+(?:\.\d+)?)"  # a number
each_page = pytest.mark.parametrize("page", PAGES)


# --- what the pages name


def test_every_module_of_theorems_is_on_one_page():
    fence = re.compile(r"^```\{include\} \.\./generated/theorems/(\w+)\.md\n```$", re.MULTILINE)
    included = [name for page in PAGES.values() for name in fence.findall(page)]
    assert len(included) == len(set(included))  # a module on none of them gets a page of its own: docs/theorem_pages.py
    assert set(included) <= {module.__name__.rpartition(".")[2] for module in theorems.PAPERS}


def test_the_index_has_every_page():
    listed = re.findall(r"^\| \[.+?\]\((\w+)\.md\) \|", PAGES["index"], re.MULTILINE)
    tree = re.search(r"```\{toctree\}\n:hidden:\n\n(.*?)```", PAGES["index"], re.DOTALL)[1].split()
    assert sorted(listed) == sorted(tree) == sorted(set(PAGES) - {"index"})


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"index"}))
def test_a_page_has_its_parts_and_its_code_runs(page):
    headings = re.findall(r"^## (.+)$", PAGES[page], re.MULTILINE)
    assert headings[0] in ("Their letters, our words", "Letters")
    assert headings[1:3] == ["What is here", "What came out"]
    assert headings[3].startswith("Beyond")
    (block,) = re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)
    assert "assert " in block
    if "from empirical" in block:
        pytest.importorskip("torch")
    exec(compile(block, f"{page}.md", "exec"), {})


def arxiv_numbers():
    """Of the theorems' sources, and those that the code names."""
    named = {theorem.source.arxiv for theorem in theorems.all()}
    for path in (*(ROOT / "empirical").rglob("*.py"), *(ROOT / "paper_figs").rglob("*.py")):
        named |= set(re.findall(r"arXiv:(\d{4}\.\d{5})", path.read_text(encoding="utf-8")))
    return named


@each_page
def test_links_lead_somewhere(page):
    labels = {"theorem-" + re.sub(r"[^a-z0-9]+", "-", theorem.name.lower()).strip("-") for theorem in theorems.all()}
    known = arxiv_numbers()
    for text, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", PROSE[page]):
        kind, _, last = target.rpartition("/")
        if kind == "https://arxiv.org/abs":
            assert last in known, target
            assert text in (last, f"arXiv:{last}"), target
        elif target.startswith("#"):
            assert target[1:] in labels, target
        elif kind == "../generated/gallery":
            assert re.fullmatch(r"(\w+)\.(png|md)", last)[1] in FIGURES, target
        else:
            assert (ROOT / "docs" / "papers" / target.partition("#")[0]).is_file(), target


@each_page
def test_names_in_the_text_exist(page):
    sources = [path.read_text(encoding="utf-8") for path in (*(ROOT / "kdtheory").rglob("*.py"), *DATA.glob("*.csv"))]
    for code in re.findall(r"`([^`]+)`", CODE.sub("", PAGES[page])):
        if code.startswith("python -m "):
            command_exists(*shlex.split(code)[2:])
        elif code.startswith("kd."):
            assert code.split(".")[1].partition("(")[0] in kd.__all__, code
            attrgetter(re.match(r"kd\.([\w.]+)", code)[1])(kd)
        elif re.match(r"(kdtheory|empirical)\.", code):
            if code.startswith("empirical"):
                pytest.importorskip("torch")
            pkgutil.resolve_name(code)
        elif "/" in code and "." in code:
            assert (ROOT / code).is_file(), code
        elif re.fullmatch(r"[a-z]+(_[a-z]+)+", code):
            assert any(re.search(rf"\b{code}\b", source) for source in sources), code


def command_exists(module, *words):
    if module == "paper_figs":
        assert words
        assert set(words) <= set(FIGURES)
    elif module == "kdtheory":
        assert words[0] == "verify"
        for option, value in zip(words[1::2], words[2::2], strict=True):
            assert option == "--data" or (option == "--paper" and theorems.find(paper=value)), option
    else:
        assert module == "empirical"
        verb = words[0].replace("-", "_")
        assert verb == "suggest_weight" or (verb in ("run", "report") and words[1] in EXPERIMENTS)
        importlib.import_module(f"empirical.{'suggest' if verb == 'suggest_weight' else f'experiments.{words[1]}'}")


# --- what the pages say


def said(page, pattern):
    """The numbers of the one place in a page that the pattern, with its groups, describes; and how many places each has."""
    places = re.findall(pattern, PROSE[page])
    assert len(places) == 1, f"{page}.md has {len(places)} places like {pattern}"
    texts = [places[0]] if isinstance(places[0], str) else list(places[0])
    return [float(text) for text in texts], [0.501 * 10.0 ** -len(text.partition(".")[2]) for text in texts]


def agree(page, pattern, values):
    """The page has these values, rounded to the digits that it prints."""
    printed, half = said(page, pattern)
    assert len(printed) == len(values)
    for text, value, allowed in zip(printed, values, half, strict=True):
        assert abs(text - value) <= allowed, f"{page}.md says {text}, computed {value}"


def recorded(name, column, **wanted):
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file) if all(row[key] == value for key, value in wanted.items())]


def regression(data, quantity, split="sequential"):
    return recorded("regression_tables_ours.csv", "ours", data=data, quantity=quantity, split=split)


@each_page
def test_intervals_are_quoted_from_the_verdicts(page):
    for quoted in re.findall(r"[-+]?\d[\d.]*(?: points| %)? \[[-+\d.]+, [-+\d.]+\]", PROSE[page]):
        assert quoted in VERDICTS, quoted


def test_counts_are_quoted_from_the_verdicts():
    for page, pattern, order in [
        ("das_sanghavi", rf"rises in {N} of {N} settings and falls in {N} beyond", (1, 0, 2)),
        ("das_sanghavi", rf"it rises in {N} of {N} and falls in {N}:", (1, 0, 2)),
        ("ben_baruch", rf"of {N} settings {N} rise and {N} fall", (0, 1, 2)),
    ]:
        among, rise, fall = (int(said(page, pattern)[0][place]) for place in order)
        assert f"of {among} settings, {rise} rise and {fall} fall" in VERDICTS
    (p,), _ = said("jacot", rf"covariance is the law's \(p = {N}\)")
    assert f"p = {p:.2f} for the Mahalanobis" in VERDICTS


def test_what_is_another_setting_is_quoted_from_the_published_numbers():
    for page, pattern, form in [
        (
            "das_sanghavi",
            rf"weight of the grid is {N} on digits and {N} on",
            "{:g} (digits), {:g} (Fashion-MNIST)",
        ),
        (
            "ben_baruch",
            rf"half is {N} points behind on digits and {N} on",
            "-{:.1f} (digits), -{:.1f} (Fashion-MNIST)",
        ),
        ("paul", rf"it is {N} points beside all rows on digits and {N} on", "{:+.1f} (digits), {:+.1f} (Fashion-MNIST)"),
    ]:
        assert form.format(*said(page, pattern)[0]) in PUBLISHED, page
    (larger, about), _ = said("jacot", rf"sets the first apart {N} times, about {N} in the paper")
    assert f"| {about:g} times | {larger:g} |" in PUBLISHED


def test_borup_andersen():
    table = toy_losses.compute()
    agree("borup_andersen", rf"All {N} losses", [table["agrees_to_five_digits"].sum()])
    assert table["agrees_to_five_digits"].all()
    example = Toy()
    d = example.spectrum.eigenvalues[8:10]
    ratio = [float(np.divide(*kd.Distilled.constant(ridge=0.2, teacher_weight=0.75, rounds=t).fit(d))) for t in range(60)]
    limit = float(np.divide(*kd.Distilled.limit(ridge=0.2, teacher_weight=0.75).fit(d)))
    where = int(np.argmax(ratio))
    agree(
        "borup_andersen",
        rf"goes from {N} to {N} in round {N}, and to {N} in the limit",
        [ratio[0], ratio[where], where, limit],
    )


def test_das_sanghavi():
    X = StandardScaler().fit_transform(load_diabetes().data)
    s, nothing = kd.Spectrum.from_features(X), np.zeros(len(X))
    for error, words in (("parameters", "for the parameters"), ("prediction", "for the predictions")):
        curves = [kd.weights.expected_curve(s, nothing, noise_variance=1.0, ridge=r, error=error) for r in noise_weight.RIDGES]
        agree("das_sanghavi", rf"to {N}, {N} and {N} {words}", [curve.optimal_weight for curve in curves])
    for data, pattern in [
        ("Caltech-256", rf"a gain of {N} points at weight {N} on Caltech"),
        ("CIFAR-100", rf"{N} at {N} on CIFAR-100"),
        ("StanfordCars", rf"{N} at {N} on StanfordCars"),
    ]:
        row = [recorded("das_sanghavi_reported.csv", column, dataset=data)[0] for column in ("gain", "teacher_weight")]
        agree("das_sanghavi", pattern, row)
    agree("das_sanghavi", rf"a loss of {N} at 1", [-recorded("das_sanghavi_reported.csv", "gain", dataset="Food-101")[0]])


def test_pareek():
    for data, name in (("air_quality", "Air Quality"), ("airfoil", "Airfoil"), ("appliances_energy", "Appliances energy")):
        quantities = [f"test error, {rounds}" for rounds in ("ridge", "1 round", "2 rounds")]
        printed = [recorded("regression_tables.csv", "published", data=data, quantity=q)[0] for q in quantities]
        ours = [regression(data, quantity)[0] for quantity in quantities]
        agree("pareek", rf"\| {name} \| {N}, {N}, {N}[^|]*\| {N}, {N}, {N} \|", printed + ours)
    agree("pareek", rf"Ours is {N} %", regression("air_quality", "gain of 2 rounds (%)"))
    for data, pattern in (("air_quality", rf"two rounds gain {N} ± {N} %"), ("airfoil", rf"on Airfoil {N} ± {N} %")):
        gains = regression(data, "gain of 2 rounds (%)", "random")
        half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)
        agree("pareek", pattern, [np.mean(gains), half])


def test_dang():
    for data, name in (
        ("blog_feedback", "BlogFeedback"),
        ("communities_crime", "Communities"),
        ("air_quality", "Air Quality"),
    ):
        ratio, gain = (
            [recorded("regression_tables.csv", "published", data=data, quantity=q)[0], regression(data, q, "authors'")[0]]
            for q in ("curvature ratio", "held-out gain (%)")
        )
        agree("dang", rf"\| {name} \| {N} \| {N}[^|]*\| {N} and {N} \|", ratio + gain)
    errors = [regression("air_quality", q, "authors'")[0] for q in ("least error, ridge", "least error, 1 round")]
    weights = [regression("air_quality", q, "authors'")[0] for q in ("its weight, 1 round", "one-shot weight there")]
    agree("dang", rf"{N} without and {N} with one round, at weight {N}; the one-shot weight there is {N}", errors + weights)
    limits = recorded("isotropic_weights.csv", "teacher_weight")
    agree("dang", rf"0.1, 0.2, 1 and 5 are {N}, {N}, {N} and {N}", limits)
    white = kd.asymptotics.Population(np.ones(100), np.full(100, 0.1), 1.0)
    plain = [one_shot_bias.plain_limit(white, n=200, ridge=200 * penalty) for penalty in one_shot_bias.PENALTIES]
    agree("dang", rf"tends to {N}, {N}, {N} and {N} at the penalties above", plain)
    curves = [kd.asymptotics.risk_curve(white, n=200, ridge=200 * penalty) for penalty in one_shot_bias.PENALTIES]
    costs = [100 * float((c(w) - c.minimum) / (c(0.0) - c.minimum)) for c, w in zip(curves, plain, strict=True)]
    agree("dang", rf"{N} %, {N} %, {N} % and {N} % of the gain", costs)


def test_paul():
    accuracies = {
        (data, method, share): 100 * np.mean(recorded("scores.csv", "accuracy", method=method, keep_fraction=share, **at))
        for data in ("digits", "fashion_mnist")
        for at in [{"data": data, "noise": "0", "teacher_weight": "0"}]
        for method in ("el2n", "random")
        for share in ("0.5", "0.1")
    }
    for words, share in (("half", "0.5"), ("a tenth", "0.1")):
        row = [accuracies[data, method, share] for data in ("digits", "fashion_mnist") for method in ("el2n", "random")]
        agree("paul", rf"\| {words} \| {N} \| {N} \| {N} \| {N} \|", row)


def test_constants():
    x = np.geomspace(1e-3, 1e3, 200_001)
    largest = [np.max((1 - np.exp(-x)) * (1 + x) / x), np.max(1 / (1 + x) - np.exp(-x))]
    agree("ali", rf"The largest values are {N} and {N}", largest)
    agree("ali", rf"\\approx {N}\$ times its variance", [largest[0] ** 2])
    agree("ben_baruch", rf"above a kept share of {N}", [kd.pruning.crossing()])
    agree("paul", rf"below a kept share of {N} and wins above", [kd.pruning.crossing()])


@pytest.mark.parametrize(
    ("page", "pattern"),
    [
        ("mobahi", r"collapses after 4 rounds, at \$c_t\$ = (\S+), (\S+), (\S+), (\S+) \("),
        ("pareek", r"summed over the points, are (\S+), (\S+), (\S+), (\S+), (\S+) \("),
        ("pareek", r"ridge regression is (\S+), (\S+) and (\S+) times"),
        ("ildiz", r"Risks are (\S+) with .*? labels, (\S+) with .*? keeps (\d+) .*? and (\S+) with .*? amplifies (\d+):"),
        ("simon", r"are (\S+), (\S+) and (\S+) \(`tests"),
    ],
)
def test_numbers_are_those_that_the_theorems_tests_hold(page, pattern):
    tests = (ROOT / "tests" / "theorems" / f"test_{page}.py").read_text(encoding="utf-8")
    (found,) = re.findall(pattern, PROSE[page])
    for text in found:
        assert re.search(rf"(?<![\d.]){re.escape(text)}(?![\d.])", tests), text
