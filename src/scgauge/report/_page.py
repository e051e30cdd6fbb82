from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from scgauge._core.threads import takes_one_thread
from scgauge.report._cells import BUILT_IN
from scgauge.report._numbers import number

if TYPE_CHECKING:
    from scgauge.report._cells import Cells
    from scgauge.report._fit import Settings

_PACKAGES = ("scgauge", "scvi-tools", "anndata", "scanpy", "torch")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def code(cells: Cells, settings: Settings, *, has_empty: bool) -> str:
    """Write the Python code that repeats the training and the drawing of cells, number by number."""
    lines = ["import anndata, scanpy, scgauge, scvi, torch", ""]
    if cells.source is None:
        lines.append("# adata: the cells that this page was made from")
    elif cells.source == BUILT_IN:
        lines.append(f"adata = {BUILT_IN}")
    else:
        lines.append(f"adata = anndata.read_h5ad({cells.source!r})")
    if cells.layer is not None:
        lines.append(f"adata.X = adata.layers[{cells.layer!r}].copy()")
    batch = "" if cells.batch_key is None else f", batch_key={cells.batch_key!r}"
    if takes_one_thread(cells.adata.n_vars):
        lines.append("torch.set_num_threads(1)")
    lines += [
        f"scvi.settings.seed = {settings.seed}",
        f"scgauge.model.CountVI.setup_anndata(adata{batch})",
        f"model = scgauge.model.CountVI(adata, n_latent={settings.n_latent}, "
        f"gene_likelihood={settings.gene_likelihood!r})",
        f"model.train(max_epochs={settings.max_epochs}, early_stopping=True, check_val_every_n_epoch=1)",
        f"synthetic = scgauge.tl.sample(model, adata.n_obs, rng={settings.seed})",
        *(["synthetic = synthetic[synthetic.X.sum(1) > 0].copy()"] if has_empty else []),
        "for cells in (adata, synthetic):",
        "    cells.obsm['X_scgauge'] = model.get_latent_representation(cells)",
        "",
        "scgauge.pl.history(model)",
        "scgauge.pl.marginals(adata, synthetic)",
        "both = anndata.concat({'real': adata, 'synthetic': synthetic}, label='source')",
        "scanpy.pp.neighbors(both, use_rep='X_scgauge', transformer='sklearn')",
        f"scanpy.tl.umap(both, random_state={settings.seed})",
        "scanpy.pl.umap(both, color='source')",
    ]
    return "\n".join(lines)


def subject(cells: Cells) -> str:
    """Say in a sentence which cells these are."""
    size = f"{number(cells.adata.n_obs)} cells with {number(cells.adata.n_vars)} genes"
    if cells.source == BUILT_IN:
        return f"These are {size} from human blood (PBMC; Zheng et al., 2017)."
    return f"These are {size} from {cells.source}." if cells.source else f"These are {size}."


def render(template: str, **content: Any) -> str:
    """Fill in a template of ``templates/``; text is escaped, and a name that is missing is an error."""
    environment = Environment(
        loader=PackageLoader("scgauge.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment.get_template(template).render(**content)
