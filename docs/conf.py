"""Configuration of Sphinx. ``DOCS_OFFLINE=1`` builds without reading the pages of other projects."""

import importlib
import inspect
import logging
import os
import re
import warnings
from importlib.metadata import metadata

# sphinx_autodoc_typehints on Sphinx 9, once for every docstring
warnings.filterwarnings("ignore", message=".*_RstSnippetParser.set_application' is deprecated")

# Pages are listed by pattern, whether or not there are any yet. This warning has no type, so that `suppress_warnings`
# cannot name it.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(
    lambda record: getattr(record, "subtype", None) != "empty_glob"
)

# Pages show the figures that their cells draw, whatever the caller draws with.
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"

DOCS_OFFLINE = os.environ.get("DOCS_OFFLINE", "") not in {"", "0"}

info = metadata("scgauge")
project = info["Name"]
author = "The scgauge developers"
copyright = f"2026, {author}"
version = release = info["Version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",  # after napoleon, whose sections it completes
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
nitpicky = True

html_theme = "sphinx_book_theme"
html_title = "scgauge"
html_theme_options = {
    "repository_url": info.get_all("Project-URL")[-1].partition(", ")[2],
    "use_repository_button": True,
    "navigation_with_keys": False,
}

# Pages that have moved, for links from outside.
html_context = {"moved": {"quickstart": "tutorials/quickstart.html"}}
html_additional_pages = dict.fromkeys(html_context["moved"], "moved.html")

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
# Tutorials take minutes: `make tutorials` runs them, `make docs` runs the quickstart and shows the text of the others.
# A page that is not run does not say in which language it is; code cells name it themselves.
suppress_warnings = ["myst-nb.lexer"]
nb_execution_excludepatterns = [] if os.environ.get("SCGAUGE_TUTORIALS") else ["tutorials/[!q]*"]
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars

autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # sphinx_autodoc_typehints writes them
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
always_use_bars_union = True
typehints_defaults = "braces"

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
bibtex_default_style = "plain"

intersphinx_mapping = {
    "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
    "lightning": ("https://lightning.ai/docs/pytorch/stable/", None),
    "matplotlib": ("https://matplotlib.org/stable/", None),
    "numpy": ("https://numpy.org/doc/stable/", None),
    "pandas": ("https://pandas.pydata.org/pandas-docs/stable/", None),
    "python": ("https://docs.python.org/3/", None),
    "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
    "scipy": ("https://docs.scipy.org/doc/scipy/", None),
    "scvi": ("https://docs.scvi-tools.org/en/stable/", None),
    "torch": ("https://docs.pytorch.org/docs/stable/", None),
}
nitpick_ignore_regex = [
    # Private names reach the pages through annotations and base classes; they have no page.
    (r"py:.*", r"scgauge\.(.*\.)?_.*"),
]
if DOCS_OFFLINE:
    intersphinx_mapping = {}
    nitpick_ignore_regex.append((r"py:.*", r"(?!scgauge\b).*"))

FLOORS = ("datasets", "metrics", "model", "module", "nn", "pl", "pp", "report", "tl", "train")


def defined_here(app, what, name, obj, skip, options):
    """Leave out members that scvi-tools or torch define: they are documented there."""
    function = inspect.unwrap(getattr(obj, "fget", None) or getattr(obj, "__func__", obj))
    where = getattr(function, "__module__", None) or ""
    return True if what == "class" and inspect.isfunction(function) and not where.startswith("scgauge") else None


def unbold_code(app, what, name, obj, options, lines):
    """Show the written keys of a Returns section as code: napoleon sets whatever stands before a type in bold."""
    for number, line in enumerate(lines):
        lines[number] = re.sub(r"\*\*(``[^`]+``(?:, ``[^`]+``)*)\*\*", r"\1", line)


def check_api(app, error):
    """Fail unless the API pages list exactly the public names."""
    if error is not None or app.builder.format != "html":
        return
    documented = {
        name
        for name, entry in app.env.domaindata["py"]["objects"].items()
        if entry.docname.startswith("api/") and name.count(".") == 2
    }
    floors = {floor: importlib.import_module(f"scgauge.{floor}") for floor in FLOORS}
    public = {f"scgauge.{floor}.{name}" for floor, module in floors.items() for name in module.__all__}
    if documented != public:
        message = f"Documented but not public: {documented - public}; public but not documented: {public - documented}"
        raise RuntimeError(message)


def setup(app):
    app.connect("autodoc-skip-member", defined_here)
    app.connect("autodoc-process-docstring", unbold_code, priority=900)  # after napoleon
    app.connect("build-finished", check_api)
