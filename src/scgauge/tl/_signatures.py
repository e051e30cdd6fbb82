from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from scgauge._core.adapter import adapt
from scgauge._core.checks import check_adata, check_unique_names
from scgauge._core.keys import SIGNATURES
from scgauge._core.store import store
from scgauge.metrics import set_overlap

if TYPE_CHECKING:
    from anndata import AnnData

    from scgauge._core.model_protocol import Adapter

Side = Literal["auto", "encoder", "decoder"]


def signatures(
    adata: AnnData,
    model: Any,
    *,
    side: Side = "auto",
    cutoff: float = 2.5,
    key_added: str = SIGNATURES,
    copy: bool = False,
) -> AnnData | None:
    r"""Collect the genes with high weights of each node of a model: its signatures.

    After ADAGE :cite:p:`Tan17`: the genes of a node with weights at least :math:`c` standard deviations above the
    mean of the node's weights are its positive signature, those as far below its negative one,

    .. math::

        s_j^+ = \{g : w_{gj} \ge \bar w_j + c \, \mathrm{sd}_j\}, \qquad
        s_j^- = \{g : w_{gj} \le \bar w_j - c \, \mathrm{sd}_j\}.

    Works for every model whose first or last layer is linear: :class:`~scgauge.model.Autoencoder`,
    :class:`~scgauge.model.LinearVI`, :class:`scvi.model.LinearSCVI`, and the first layer of
    :class:`~scgauge.model.CountVI` and :class:`scvi.model.SCVI`. Measure the signatures in cells with
    :func:`scgauge.tl.signature_activity`, draw them with :func:`scgauge.pl.signatures`.

    Parameters
    ----------
    adata
        Annotated data matrix with the genes of the model, to which the result is written. Further genes belong to no
        signature.
    model
        Trained model.
    side
        ``"decoder"``: loadings of a linear decoder, one node for each latent dimension; ``"encoder"``: weights of the
        first layer, one node for each of its units; ``"auto"``: the decoder where it is linear, else the encoder.
    cutoff
        Standard deviations from the mean, :math:`c`; 2.5 as published.
    key_added
        Key under which the result is stored.
    copy
        Whether to work on a copy of ``adata`` and return it.

    Returns
    -------
    Returns ``None`` if ``copy=False``, else returns an ``AnnData`` object. Sets the following fields:

    ``adata.varm[key_added]`` : :class:`numpy.ndarray` (dtype ``float64``)
        Weights, ``(n_vars, n_nodes)``; NaN for genes that the model does not have.
    ``adata.uns[key_added]`` : :class:`dict`
        ``"params"``, with the ``"side"`` that was used; ``"nodes"``: their names, in the order of the weights;
        ``"genes"``: data frame with the columns ``signature`` (name of the node with ``pos`` or ``neg``), ``node``,
        ``sign`` (1 or -1), ``gene`` and ``weight``, the strongest first; ``"overlap"``: data frame of pairs of
        signatures that share a gene, with the columns ``signature``, ``other``, ``n_shared``, ``odds_ratio``,
        ``pvalue`` (Fisher's exact test, one-sided) and ``padj`` (Benjamini-Hochberg over all pairs).

    Raises
    ------
    TypeError
        If ``adata`` is not an AnnData, or the model cannot be read or has no linear decoder for ``side="decoder"``.
    RuntimeError
        If the model is not trained.
    ValueError
        If genes of the model are missing, gene names repeat, `side` is unknown, `cutoff` is not positive or no gene
        passes it.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(100, 60, rng=0)
    >>> scgauge.model.LinearVI.setup_anndata(adata)
    >>> model = scgauge.model.LinearVI(adata, n_latent=2)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> scgauge.tl.signatures(adata, model, cutoff=1.5)
    >>> sorted(adata.uns["signatures"]["genes"].columns)
    ['gene', 'node', 'sign', 'signature', 'weight']
    """
    check_adata(adata)
    check_unique_names(adata)
    if side not in {"auto", "encoder", "decoder"}:
        message = f"side={side!r} was given; choose 'auto', 'encoder' or 'decoder'."
        raise ValueError(message)
    if not (np.isfinite(cutoff) and cutoff > 0):
        message = f"cutoff={cutoff!r} was given; a positive number is needed."
        raise ValueError(message)
    adapter = adapt(model)
    missing = adapter.genes.difference(adata.var_names.astype(str))
    if len(missing):
        message = (
            f"`adata` lacks {len(missing)} of the {len(adapter.genes)} genes of the model, for example {missing[0]!r}. "
            "Pass cells with all genes that the model was trained on."
        )
        raise ValueError(message)
    weights, used = _weights(adapter, side)
    table = _genes(weights, _free(adapter, used, weights), cutoff)
    if len(table) == 0:
        message = f"No weight is {cutoff} standard deviations from the mean of its node; lower `cutoff`."
        raise ValueError(message)
    result = {
        "params": {"model": type(model).__name__, "side": used, "cutoff": cutoff},
        "nodes": weights.columns.to_numpy(dtype=object),
        "genes": table,
        "overlap": _overlap(table, adapter.genes),
    }
    values = weights.reindex(adata.var_names.astype(str)).to_numpy()
    return store(adata, copy=copy, varm={key_added: values}, uns={key_added: result})


def _weights(adapter: Adapter, side: Side) -> tuple[pd.DataFrame, str]:
    """Weights of the nodes, genes x nodes, and the side that they are of."""
    is_linear = "loadings" in adapter.capabilities
    if side == "decoder" and not is_linear:
        message = (
            f"{type(adapter.model).__name__} has no linear decoder. Pass side='encoder' for the units of its first "
            "layer."
        )
        raise TypeError(message)
    if side == "decoder" or (side == "auto" and is_linear):
        return pd.DataFrame(adapter.loadings(), index=adapter.genes, columns=adapter.latents), "decoder"
    weight = adapter.encoder_network().weight.detach().double().cpu().numpy().T
    given = getattr(adapter, "first_layer_names", None)
    names = [f"H_{index}" for index in range(weight.shape[1])] if given is None else given
    return pd.DataFrame(weight, index=adapter.genes, columns=names), "encoder"


def _free(adapter: Adapter, side: str, weights: pd.DataFrame) -> np.ndarray:
    """Weights that no mask keeps at zero, genes x nodes booleans."""
    module = adapter.model.module
    layer: Any = getattr(getattr(module, "decoder", None), "scale", None)
    if side == "encoder":
        layer = next(iter(getattr(module.z_encoder, "linears", [])), None)
    mask = getattr(layer, "mask", None)
    if mask is None:
        return np.ones(weights.shape, dtype=bool)
    free = mask.cpu().numpy().astype(bool)
    return (free.T if side == "encoder" else free)[:, : weights.shape[1]]


def _genes(weights: pd.DataFrame, is_free: np.ndarray, cutoff: float) -> pd.DataFrame:
    """Genes beyond the cutoff of each node, the strongest first."""
    parts = []
    for number, node in enumerate(weights.columns):
        free = weights[node][is_free[:, number]]
        centre, spread = (free.mean(), free.std(ddof=1)) if len(free) > 1 else (0.0, np.inf)
        for sign, name in ((1, "pos"), (-1, "neg")):
            chosen = free[sign * (free - centre) >= cutoff * spread] if spread > 0 else free[:0]
            chosen = chosen.iloc[np.argsort(-sign * chosen.to_numpy(), kind="stable")]
            parts.append(
                pd.DataFrame(
                    {
                        "signature": f"{node}{name}",
                        "node": str(node),
                        "sign": sign,
                        "gene": chosen.index.to_numpy(dtype=object),
                        "weight": chosen.to_numpy(),
                    }
                )
            )
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]


def membership(table: pd.DataFrame, genes: pd.Index) -> pd.DataFrame:
    """Which genes belong to which signature, genes x signatures booleans."""
    names = table["signature"].unique()
    inside = np.zeros((len(genes), len(names)), dtype=bool)
    inside[genes.get_indexer(table["gene"].astype(str)), pd.Index(names).get_indexer(table["signature"])] = True
    return pd.DataFrame(inside, index=genes, columns=names)


def _overlap(table: pd.DataFrame, genes: pd.Index) -> pd.DataFrame:
    inside = membership(table, genes)
    overlap = set_overlap(inside.to_numpy())
    one, other = np.triu_indices(inside.shape[1], 1)
    names = inside.columns.to_numpy(dtype=object)
    result = pd.DataFrame(
        {
            "signature": names[one],
            "other": names[other],
            "n_shared": overlap.shared[one, other],
            "odds_ratio": overlap.odds_ratio[one, other],
            "pvalue": overlap.pvalue[one, other],
            "padj": stats.false_discovery_control(overlap.pvalue[one, other]) if len(one) else np.array([]),
        }
    )
    found = result[result["n_shared"] > 0].sort_values("pvalue", kind="stable")
    return found.reset_index(drop=True)
