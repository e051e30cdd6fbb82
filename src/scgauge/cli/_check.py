from pathlib import Path
from typing import Annotated, Any

import typer

from scgauge.cli._faults import FAULTS_OF_INPUT, one_line
from scgauge.cli._files import say, write_cells
from scgauge.report._cells import read_file
from scgauge.report._quiet import quiet
from scgauge.tl import synthetic_quality

#: Exit code if the cells score worse than the user allows.
_TOO_BAD = 3


def check(
    real: Annotated[Path, typer.Argument(metavar="REAL.h5ad", help="Real cells that the model was trained on.")],
    synthetic: Annotated[Path, typer.Argument(metavar="SYNTHETIC.h5ad", help="Synthetic cells, from any tool.")],
    *,
    holdout: Annotated[
        Path | None, typer.Option(metavar="FILE.h5ad", help="Real cells that the model has not seen.")
    ] = None,
    labels: Annotated[str | None, typer.Option(metavar="KEY", help="Column of obs; groups are scored, too.")] = None,
    layer: Annotated[str | None, typer.Option(metavar="NAME", help="Layer of real cells.", show_default="X")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.h5ad", help="Write synthetic cells with their scores here.")
    ] = None,
    at_most: Annotated[
        float | None, typer.Option(metavar="SCORE", help="Exit with code 3 if the mean score is above.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print all scores as JSON.")] = False,
) -> None:
    """Score synthetic cells: 0 is as good as real cells, 1 as bad as a copy made wrong on purpose.

    Example: scgauge check real.h5ad synthetic.h5ad --holdout unseen.h5ad --json
    """
    with one_line(*FAULTS_OF_INPUT), quiet():
        drawn = read_file(synthetic)
        unseen = None if holdout is None else read_file(holdout)
        synthetic_quality(
            read_file(real),
            drawn,
            holdout=unseen,
            groupby=labels,
            layer=layer,
            rng=seed,
            progress=not as_json,
        )
        if out is not None:
            write_cells(drawn, out)
    result = drawn.uns["synthetic_quality"]
    overall = result["overall"].query("group == ''").set_index("family")["scaled"]
    means: dict[str, Any] = {str(family): float(score) for family, score in overall.items()}
    if as_json:
        scores = result["scores"].astype(object).where(result["scores"].notna(), None)
        means["scores"] = scores.to_dict(orient="records")
    say(means, as_json=as_json)
    if at_most is not None and not means.get("all", float("inf")) <= at_most:
        raise typer.Exit(code=_TOO_BAD)
