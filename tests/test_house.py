"""The house rules: imports go one way, the core is light, files stay small, nothing is inverted."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAPERS = sorted(path.stem for path in (ROOT / "kdtheory" / "theorems").glob("*.py"))
PAPERS = [name for name in PAPERS if name not in ("__init__", "statement", "naive")]
#: A module may import only modules that stand before it.
ORDER = [
    ["checks"],
    ["array_kernels", "workers"],
    ["arrays"],
    ["dual_activation", "gram"],
    ["kinked_activations", "smooth_activations"],
    ["activations"],
    ["infinite_depth", "network_recursion"],
    ["wide_networks"],
    ["kernels"],
    ["_neural_tangents", "blocks"],
    ["architectures"],
    ["infinite"],
    ["eigensolver"],
    ["spectrum"],
    ["constrained"],
    ["recursion"],
    ["elementary_filters"],
    ["training_filters"],
    ["dynamics", "early_stopping", "filters"],
    ["skeleton"],
    ["grid"],
    ["distillation"],
    ["free_polynomial", "kept", "leave_one_out", "likelihood", "parabola", "population"],
    ["leave_one_out_grid"],
    ["risk_curves"],
    ["expected_curve", "one_shot", "orthogonal", "pruned_risk", "pruned_students", "random_subset", "risk", "selection"],
    ["asymptotics", "pruned_leave_one_out", "pruned_setting"],
    ["reduced"],
    ["centres", "cholesky", "kernel_product", "krylov_bound", "streaming"],
    ["krylov"],
    ["feature_maps"],
    ["falkon", "low_rank"],
    ["solve"],
    ["scale"],
    ["advice", "eigenframework", "pruned_curves", "two_stage", "weights"],
    ["pruning_plan", "teacher_capacity"],
    ["plan"],
    ["pruning"],
    ["machine"],
    ["estimators", "problem", "tables"],
    ["testing", "theorems.statement"],
    ["theorems.naive"],
    [f"theorems.{paper}" for paper in PAPERS],
    ["theorems"],
    ["about", "verify"],
    ["__main__"],
]
RANK = {name: level for level, names in enumerate(ORDER) for name in names}
MODULES = sorted((ROOT / "kdtheory").rglob("*.py"))
ALLOWED = {"numpy", "scipy"}
HEAVY = {
    "about": {"threadpoolctl"},
    "machine": {"sklearn"},
    "streaming": {"tqdm"},
    "workers": {"distributed", "joblib"},
    "problem": {"sklearn"},
    "testing": {"hypothesis"},
    "_neural_tangents": {"jax", "neural_tangents"},
    "blocks": {"tqdm"},
    "infinite": {"jax"},
    "pruning_plan": {"matplotlib"},
}


def name_of(path):
    parts = path.relative_to(ROOT / "kdtheory").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module == "kdtheory" or (node.module == "kdtheory.theorems" and path.parent.name == "theorems"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name[0].islower())
            else:
                yield node.module


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_arrows_go_one_way(path):
    here = name_of(path)
    if not here:
        return
    assert here in RANK, f"give {here} its place in the order"
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "kdtheory" and rest and rest != "__version__":
            assert RANK[rest] < RANK[here], f"{here} imports {rest}"
        elif top not in sys.stdlib_module_names and top != "kdtheory":
            assert top in ALLOWED | HEAVY.get(here, set()), f"{here} imports {top}"


def test_the_core_loads_numpy_and_scipy_only():
    code = "import sys, kdtheory; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"sklearn", "torch", "jax", "matplotlib", "pandas", "neural_tangents", "dask", "hypothesis"}
    assert {"numpy", "scipy"} <= loaded


@pytest.mark.parametrize("path", sorted((ROOT / "empirical").rglob("*.py")), ids=lambda path: path.stem)
def test_the_bridge_stands_on_the_theory_alone(path):
    allowed = ALLOWED | {"torch", "sklearn", "tqdm", "joblib", "distributed", "pyarrow", "kdtheory", "empirical"}
    for name in imports(path):
        top = name.partition(".")[0]
        assert top in sys.stdlib_module_names or top in allowed, f"{path.name} imports {top}"


@pytest.mark.parametrize("room", ["kdtheory", "empirical", "paper_figs", "benchmarks", "tests"])
def test_files_stay_small(room):
    for path in (ROOT / room).rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path.name


def test_nothing_is_inverted():
    for path in MODULES:
        assert "linalg.inv" not in path.read_text(), path.name


def test_public_names_carry_a_docstring_with_an_example():
    import kdtheory as kd

    for name in kd.__all__:
        value = getattr(kd, name)
        assert value.__doc__, name
        if callable(value) and name not in {"Filter", "BiasVariance", "IdentifiabilityWarning"}:
            assert ">>>" in value.__doc__, name
