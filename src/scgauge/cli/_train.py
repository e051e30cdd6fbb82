from pathlib import Path
from typing import Annotated

import typer

from scgauge._core.rng import seeded
from scgauge.cli._demo import Likelihood
from scgauge.cli._faults import FAULTS_OF_INPUT, one_line
from scgauge.cli._files import model_class, say
from scgauge.report import open_cells
from scgauge.report._quiet import quiet


def train(  # noqa: PLR0913 - ten without the cells and the seed
    cells: Annotated[Path, typer.Argument(metavar="CELLS.h5ad", help="Cells with counts.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to save the model.")] = Path("model"),
    model: Annotated[str, typer.Option(metavar="CLASS", help="CountVI, LinearVI, or SCVI of scvi-tools.")] = "CountVI",
    layer: Annotated[str | None, typer.Option(metavar="NAME", help="Layer with the counts.", show_default="X")] = None,
    batch: Annotated[str | None, typer.Option(metavar="KEY", help="Column of obs with the batch.")] = None,
    likelihood: Annotated[Likelihood, typer.Option(help="Likelihood of the counts.")] = Likelihood.nb,
    n_latent: Annotated[int, typer.Option(min=1, help="Dimension of the latent space.")] = 10,
    max_epochs: Annotated[
        int | None, typer.Option(min=1, help="At most so many epochs.", show_default="as scvi-tools")
    ] = None,
    train_size: Annotated[float, typer.Option(min=0.01, max=1, help="Share of the cells to train on.")] = 0.9,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model in the folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a model on the cells of a file and save it.

    Example: scgauge train cells.h5ad --batch donor --out model
    """
    with one_line(*FAULTS_OF_INPUT, FloatingPointError), quiet(), seeded(seed):
        if (out / "model.pt").exists() and not overwrite:
            message = f"{str(out)!r} holds a model already; choose another --out, or pass --overwrite."
            raise FileExistsError(message)
        opened = open_cells(cells, layer=layer, batch_key=batch)
        kind = model_class(model)
        kind.setup_anndata(opened.adata, layer=layer, batch_key=batch)
        made = kind(opened.adata, n_latent=n_latent, gene_likelihood=likelihood.value)
        made.train(
            max_epochs=max_epochs,
            train_size=train_size,
            early_stopping=train_size < 1,
            check_val_every_n_epoch=1 if train_size < 1 else None,
            enable_progress_bar=not as_json,
            enable_model_summary=False,
        )
        made.save(str(out), overwrite=overwrite)
        result = {"model": str(out), "class": model, "epochs": len(made.history["elbo_train"])}
        held_out = made.validation_indices
        if len(held_out):
            result["held-out ELBO per cell"] = float(made.get_elbo(indices=held_out, return_mean=True))
    say(result, as_json=as_json)
