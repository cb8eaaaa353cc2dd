"""Configuration of the site; `make docs` builds it, offline, with warnings as errors."""

import logging
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pages

import kdtheory

project, author = "kdtheory", "The kdtheory developers"
version = release = kdtheory.__version__
copyright = author

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx-mathjax-offline",  # formulas without a network, on the machine that builds and on the one that reads
]
exclude_patterns = [
    "theorems.md",  # for reading in the repository; here every paper has its own page
    *(
        "precision.md",
        "mutants.md",
        "generated/theorems",
        "generated/verify.md",
        "generated/unwritten.md",
        "generated/cite.md",
    ),
    *("generated/contributing.md", "generated/changelog.md"),
]
default_role = "code"
nitpicky = False
suppress_warnings = ["config.cache", "myst.domains"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
logging.getLogger("traitlets").setLevel(logging.WARNING)

autodoc_typehints = "none"  # shapes and units stand in the text, the types in the source beside it
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"kdtheory {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
templates_path: list[str] = []


# kernels of the notebooks neither read a user's own profile nor remark on their connection
ipython = tempfile.TemporaryDirectory(prefix="kdtheory-docs-")  # removed with the process
os.environ["IPYTHONDIR"] = ipython.name
Path(ipython.name, "profile_default").mkdir()
Path(ipython.name, "profile_default", "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 40\n")


def setup(app):
    app.connect("builder-inited", lambda app: pages.write(Path(app.srcdir)))
    app.connect("build-finished", lambda app, error: error or pages.prune(Path(app.outdir)))
