"""The three programs: what `about` says, their help without optional packages, and what a missing one is told."""

import functools
import importlib
import json
import platform
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import kdtheory
from kdtheory import __main__ as program
from kdtheory import about, theorems

ROOT = Path(__file__).parents[1]
SCRIPTS = {"kdtheory": "kdtheory", "kdtheory-empirical": "empirical", "kdtheory-figures": "paper_figs"}
COMMANDS = {
    "kdtheory": ("", "verify", "theorems", "about"),
    "empirical": ("", "list", "run", "export", "report", "suggest-weight"),
    "paper_figs": ("",),
}
OPTIONAL = ("distributed", "jax", "joblib", "matplotlib", "neural_tangents", "pyarrow", "sklearn", "torch", "tqdm")
HELP = """
import contextlib, io, json
from {room}.__main__ import main
sys.argv[0] = "__main__.py"
said = {{}}
for command in {commands!r}:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main([*command.split(), "--help"])
        except SystemExit as stop:
            assert not stop.code, command
    said[command] = out.getvalue()
print(json.dumps(said))
"""


def python(code, hidden=(), **how):
    """The code in a fresh interpreter that finds none of the hidden packages."""
    hide = f"""
import importlib.util, sys
hidden, find = {tuple(hidden)!r}, importlib.util.find_spec
sys.modules.update(dict.fromkeys(hidden))
importlib.util.find_spec = lambda name, *rest: None if name in hidden else find(name, *rest)
"""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", hide + code], capture_output=True, text=True, check=False, **how
    )


@functools.cache
def helps(room):
    """What --help says of every command, without any optional package."""
    done = python(HELP.format(room=room, commands=COMMANDS[room]), OPTIONAL, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def examples(room):
    """(command, its words) of every example in the help."""
    for command, text in helps(room).items():
        for line in re.findall(rf"^  python -m {room}(?: (.*))?$", text, re.MULTILINE):
            yield command, shlex.split(line.partition("   ")[0])


def test_about_in_words_and_as_json(capsys):
    assert program.main(["about"]) == 0
    text = capsys.readouterr().out
    assert program.main(["about", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["theorems"] == len(theorems.all())
    assert facts["numpy"] == metadata.version("numpy")
    assert text.startswith(
        f"kdtheory {kdtheory.__version__}, {facts['theorems']} theorems\nPython {platform.python_version()} "
    )
    assert text.count("BLAS: ") == len(facts["blas"]) > 0
    assert set(facts["threads"]) == {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
    assert all(f"\n  {extra:11} " in text for extra in facts["optional"])


def test_about_names_no_path_and_no_host(capsys):
    program.main(["about"])
    program.main(["about", "--json"])
    printed = capsys.readouterr().out
    for private in (str(Path.home()), str(ROOT), sys.prefix, platform.node(), "site-packages", ".so"):
        assert private not in printed


def test_about_loads_none_of_the_optional_packages():
    code = f"from kdtheory.__main__ import main; main(['about']); print({{*sys.modules}} & {{*{OPTIONAL}}})"
    done = python(code, cwd=ROOT)
    assert done.stdout.endswith("\nset()\n"), done.stdout + done.stderr


def test_what_is_missing_is_told_with_the_cure(monkeypatch):
    monkeypatch.setattr(about, "_version", lambda name: None if name in ("joblib", "torch", "neural-tangents") else "1.0")
    monkeypatch.setattr(about, "_extras", lambda: {"workers": ["joblib", "distributed"], "ntk": [], "empirical": ["torch"]})
    text = about.in_words(about.about())
    assert "\n  workers     distributed 1.0; joblib not installed: pip install 'kdtheory[workers]'\n" in text
    assert "\n  empirical   torch not installed: pip install 'kdtheory[empirical]'\n" in text
    assert f"neural-tangents not installed: {about.NEURAL_TANGENTS}\n" in text
    assert text.endswith("device: the processor")


def test_blas_is_what_numpy_and_scipy_were_built_with_if_nobody_looks_at_what_is_loaded(monkeypatch):
    monkeypatch.setattr(about, "find_spec", lambda name: None)
    built = about.about()["blas"]
    assert [library.rpartition(" ")[2] for library in built] == ["numpy", "scipy"]
    assert not any("/" in library for library in built)


def test_a_copy_that_is_not_installed_says_so(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", absent)
    text = about.in_words(about.about())
    assert "optional packages: not known, kdtheory is not installed here" in text
    assert text.startswith(f"kdtheory {kdtheory.__version__}, ")


def test_one_line_installs_neural_tangents_wherever_it_is_named():
    pin = re.search(r"neural-tangents==\S+", (ROOT / "constraints.txt").read_text())[0]
    named = {path for path in (ROOT / "kdtheory").glob("*.py") if "neural-tangents==" in path.read_text(encoding="utf-8")}
    assert {path.name for path in named} >= {"about.py", "infinite.py", "_neural_tangents.py"}
    for path in (*named, ROOT / "pyproject.toml", ROOT / "README.md"):
        for line in re.findall(r"pip install --no-deps neural-tangents\S*\d", path.read_text(encoding="utf-8")):
            assert line == about.NEURAL_TANGENTS == f"pip install --no-deps {pin}", path.name


@pytest.mark.parametrize("room", COMMANDS)
def test_help_needs_no_optional_package_and_gives_examples(room):
    for command, text in helps(room).items():
        called = f"python -m {room} {command}".rstrip()
        assert text.startswith(f"usage: {called} [-h]")
        assert re.search(r"\.\n\n", text), "a sentence says what it is"
        assert all(len(line) <= 100 for line in text.splitlines())
    assert {command for command, _ in examples(room)} == set(COMMANDS[room])
    assert set(re.findall(r"^    ([a-z-]+)(?:  .*)?$", helps(room)[""], re.MULTILINE)) == set(COMMANDS[room]) - {""}


def test_examples_are_commands_that_exist():
    from empirical import __main__ as networks
    from paper_figs.__main__ import FIGURES

    for _, words in examples("kdtheory"):
        assert callable(program._parser().parse_args(words).carry_out)
    for _, words in examples("empirical"):
        options = networks._parser(with_suggest=networks.SUGGEST in words).parse_args(words)
        assert callable(options.carry_out)
        assert getattr(options, "name", "width") in networks.EXPERIMENTS
    named = {word for _, words in examples("paper_figs") for word in words[:1] if word[0] != "-"}
    assert named
    assert named <= set(FIGURES)


@pytest.mark.parametrize(("script", "room"), SCRIPTS.items())
def test_scripts_are_called_by_their_names(script, room, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"/somewhere/bin/{script}"])
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"{room}.__main__").main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {script} [-h]")
    assert f"python -m {room}" not in text


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        program.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"kdtheory {kdtheory.__version__}\n"


@pytest.mark.parametrize(
    ("words", "package", "cure"),
    [
        ("kdtheory verify", "sklearn", "estimators"),
        ("paper_figs toy_fits", "matplotlib", "figures"),
        ("paper_figs jacot_kernel --recompute", "torch", "empirical"),
        ("empirical run width --quick", "torch", "empirical"),
        ("empirical list", "torch", "empirical"),
    ],
)
def test_a_command_without_its_package_says_which_command_cures_it(words, package, cure, tmp_path):
    room, *arguments = words.split()
    if package != "matplotlib" and room == "paper_figs":
        pytest.importorskip("matplotlib")  # which is asked for first
        pytest.importorskip("sklearn")
    done = python(
        f"sys.path.insert(0, {str(ROOT)!r}); from {room}.__main__ import main; sys.exit(main({arguments!r}))", (package,)
    )
    assert done.returncode == 2
    assert f"pip install 'kdtheory[{cure}]'" in done.stderr
    assert done.stderr.count("\n") == 1


def interrupted(*_arguments, **_options):
    raise KeyboardInterrupt


def test_a_stopped_command_says_so_without_a_traceback(monkeypatch, capsys):
    from paper_figs import __main__ as figures

    monkeypatch.setattr(program, "_verify", interrupted)
    assert program.main(["verify"]) == 130
    assert capsys.readouterr().err == "\nkdtheory: stopped.\n"
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    monkeypatch.setattr(figures, "_draw", interrupted)
    assert figures.main(["toy_fits"]) == 130
    assert "stopped; what was finished before is complete." in capsys.readouterr().err


def test_a_figure_that_is_nearly_named_and_a_folder_that_cannot_be_written(monkeypatch, capsys, tmp_path):
    from paper_figs import __main__ as figures

    assert figures.main(["toy_fit"]) == 2
    assert "got 'toy_fit'. Did you mean toy_fits" in capsys.readouterr().err
    monkeypatch.setattr(figures.os, "access", lambda path, mode: False)
    assert figures.main(["toy_fits", "--out", str(tmp_path / "new")]) == 2
    assert "--out must be a folder that can be written to" in capsys.readouterr().err


def test_a_shortened_measurement_stays_out_of_the_gallery(monkeypatch, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("torch")
    from paper_figs import __main__ as figures
    from paper_figs import jacot_kernel, recompute

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recompute, "recompute", lambda *arguments: None)
    monkeypatch.setattr(jacot_kernel, "compute", dict)  # nothing was measured
    assert figures.main(["jacot_kernel", "--recompute"]) == 2
    error = capsys.readouterr().err
    assert "jacot_kernel cannot be drawn from what these settings measured" in error
    assert "figures_recomputed/recorded" in error
    assert not (tmp_path / "figures").exists()
