from pathlib import Path
from typing import Annotated

import typer

from scgauge.cli._faults import FAULTS_OF_INPUT, one_line
from scgauge.cli._files import load_model, say, write_cells
from scgauge.report._cells import read_file
from scgauge.report._quiet import quiet
from scgauge.tl import embed as embed_cells
from scgauge.tl import embedding_quality

#: Neighbours by which embeddings are scored, fewer for few cells.
_N_NEIGHBORS = 15


def embed(
    cells: Annotated[Path, typer.Argument(metavar="CELLS.h5ad", help="Cells with counts.")],
    *,
    methods: Annotated[str, typer.Option(help="Methods, separated by commas: pca, tsne, umap, vae, ldvae.")] = (
        "pca,tsne,umap"
    ),
    model: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="Saved model whose latent space is the method vae.")
    ] = None,
    layer: Annotated[str | None, typer.Option(metavar="NAME", help="Layer with the counts.", show_default="X")] = None,
    use_rep: Annotated[
        str | None, typer.Option(metavar="KEY", help="Input in obsm.", show_default="principal components")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE.h5ad", help="Where to write.")] = Path("embedded.h5ad"),
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Embed cells by several methods from one input, and score how well each keeps the neighbours of its input.

    Example: scgauge embed cells.h5ad --methods pca,umap --out embedded.h5ad
    """
    with one_line(*FAULTS_OF_INPUT), quiet():
        adata = read_file(cells)
        trained = None if model is None else load_model(model, adata.copy())
        names = [name.strip() for name in methods.split(",") if name.strip()]
        embed_cells(
            adata,
            methods=names,
            layer=layer,
            use_rep=use_rep,
            model=trained,
            rng=seed,
            progress=not as_json,
        )
        bases = adata.uns["embed"]["methods"]["basis"].tolist()
        k = min(_N_NEIGHBORS, (adata.n_obs - 1) // 2)
        embedding_quality(adata, basis=bases, use_rep="X_embed_input", n_neighbors=k, rng=seed)
        write_cells(adata, out)
    scores = adata.uns["embedding_quality"]["scores"]
    kept = scores[(scores["metric"] == "recall") & (scores["k"] == k)].set_index("basis")["value"]
    found = {f"{basis}, share of {k} neighbours kept": float(value) for basis, value in kept.items()}
    say(found | {"file": str(out)}, as_json=as_json)
