from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scgauge._core.adapter import VAEAdapter, register_adapter
from scgauge.model._base import CountModel
from scgauge.model._countvi import CountVI
from scgauge.model._loadings import LoadingsMixin
from scgauge.model._mask import read_mask
from scgauge.model._start_from_mean import StartFromMean
from scgauge.module import LDVAE

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scgauge.module import Dispersion, NormWhere
    from scgauge.nn import GeneLikelihood


class LinearVI(StartFromMean, LoadingsMixin, CountVI):
    r"""Variational autoencoder with a linear decoder (LDVAE): factors with loadings that can be read.

    The encoder is a network as in :class:`CountVI`; the decoder is a generalised linear model, so that each latent
    dimension has one number for each gene :cite:p:`Svensson20`. It takes the place of
    :class:`scvi.model.LinearSCVI` and adds covariates, size factors, query mapping, the right prior of a latent
    library, loadings that are centred, rotated, ordered and oriented, and constraints on them. The generative model is
    written out in :class:`scgauge.module.LDVAE`.

    Parameters
    ----------
    adata
        Cells registered with :meth:`setup_anndata`.
    registry
        Registry of a data module, to build the model without an AnnData and train it with ``train(datamodule=...)``.
    n_hidden
        Width of the hidden layers of the encoder.
    n_latent
        Number of factors. With `mask_key` it is not read: there is one factor for each gene set, and `n_free_factors`.
    n_layers
        Hidden layers of the encoder.
    dropout_rate
        Dropout in the encoder.
    dispersion
        Dispersion (standard deviation for ``"normal"``) of each gene, of each gene and batch, or of each gene and cell.
    gene_likelihood
        ``"nb"``, ``"zinb"`` or ``"poisson"`` for counts, ``"bernoulli"`` for data that are exactly 0 or 1,
        ``"normal"`` for log-normalised data (negative values allowed).
    use_observed_lib_size
        Whether the library size of a cell is its sum of counts; else it is a latent variable with one log-normal prior
        for each batch. Only counts have a library.
    encode_covariates
        Whether the encoder sees batch and covariates.
    deeply_inject_covariates
        Whether every layer of the encoder sees them, not the first alone.
    use_batch_norm
        Where to use batch norm: ``"encoder"``, ``"both"`` (as LinearSCVI does; that of the decoder is folded into the
        loadings), ``"decoder"`` or ``"none"``.
    use_layer_norm
        Whether to use layer norm in the ``"encoder"``, or ``"none"``.
    intercept
        Whether each gene has an intercept; without it (and without batch norm) the mean cell must be made of factors.
    non_negative
        Whether loadings must not be negative: factors then only add.
    l1
        Weight of the sum of absolute loadings in the loss of a cell, in nats: small loadings shrink to almost zero. Try
        1e-4 to 1e-2.
    mask_key
        Key in ``adata.varm`` of gene sets, a data frame of booleans ``(n_genes, n_sets)`` as
        :func:`scgauge.pp.gene_set_mask` writes it (or such a data frame): each set becomes a factor of its name, whose
        loadings are exactly zero outside the set.
    n_free_factors
        With `mask_key`, number of further factors in which all genes share; they take up what no set describes.

    Raises
    ------
    KeyError
        If there is no such mask in ``adata.varm``.
    ValueError
        If the data do not fit the likelihood, an argument is out of range or options contradict each other.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.model.LinearVI.setup_anndata(adata)
    >>> model = scgauge.model.LinearVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> model.get_loadings(rotation="varimax").shape
    (20, 2)
    """

    _module_cls = LDVAE

    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict[str, Any] | None = None,
        *,
        n_hidden: int = 128,
        n_latent: int = 10,
        n_layers: int = 1,
        dropout_rate: float = 0.1,
        dispersion: Dispersion = "gene",
        gene_likelihood: GeneLikelihood = "nb",
        use_observed_lib_size: bool = True,
        encode_covariates: bool = False,
        deeply_inject_covariates: bool = True,
        use_batch_norm: NormWhere = "encoder",
        use_layer_norm: NormWhere = "none",
        intercept: bool = True,
        non_negative: bool = False,
        l1: float = 0.0,
        mask_key: str | pd.DataFrame | None = None,
        n_free_factors: int = 1,
    ) -> None:
        # Not that of CountVI, which would build a module with another decoder.
        CountModel.__init__(self, adata, registry)  # type: ignore[call-arg]
        network: dict[str, Any] = {
            "n_hidden": n_hidden,
            "n_latent": n_latent,
            "n_layers": n_layers,
            "dropout_rate": dropout_rate,
            "dispersion": dispersion,
            "gene_likelihood": gene_likelihood,
            "use_observed_lib_size": use_observed_lib_size,
            "encode_covariates": encode_covariates,
            "deeply_inject_covariates": deeply_inject_covariates,
            "use_batch_norm": use_batch_norm,
            "use_layer_norm": use_layer_norm,
            "intercept": intercept,
            "non_negative": non_negative,
            "l1": l1,
        }
        if mask_key is not None:
            # The mask itself is kept, so that a saved model and a query need no varm.
            mask = read_mask(mask_key, adata, np.asarray(self.get_var_names()).astype(str), n_free_factors)
            network |= {"mask": mask.to_numpy(), "n_latent": mask.shape[1]}
            mask_key = mask.iloc[:, : mask.shape[1] - n_free_factors]
        self._build(adata, network)
        self._start_intercepts()
        self.init_params_ = self._get_init_params(locals())

    def _check_arguments(self, network: dict[str, Any]) -> None:
        super()._check_arguments(network)
        if network["use_layer_norm"] not in {"encoder", "none"}:
            message = (
                f"use_layer_norm={network['use_layer_norm']!r} was given; layer norm in the decoder would not be "
                "linear. Choose 'encoder' or 'none'."
            )
            raise ValueError(message)
        if not (np.isfinite(network["l1"]) and network["l1"] >= 0):
            message = f"l1={network['l1']!r} was given; a number of at least 0 is needed."
            raise ValueError(message)
        if network["use_batch_norm"] in {"decoder", "both"}:
            for name in ("non_negative", "l1"):
                if network[name]:
                    message = (
                        f"{name}={network[name]!r} does not go with use_batch_norm={network['use_batch_norm']!r}, "
                        "which rescales the loadings. Use use_batch_norm='encoder'."
                    )
                    raise ValueError(message)

    @property
    def factor_names(self) -> list[str]:
        """Names of the latent dimensions: ``Z_0``, ``Z_1``, ..., or of the gene sets, then ``free_0``, ..."""
        arguments = {name: value for kind in self.init_params_.values() for name, value in kind.items()}
        mask = arguments.get("mask_key")
        if mask is None:
            return [f"Z_{index}" for index in range(self.module.n_latent)]
        return [*mask.columns, *(f"free_{index}" for index in range(self.module.n_latent - mask.shape[1]))]


register_adapter(LinearVI, VAEAdapter)
