from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import (
    CategoricalJointObsField,
    CategoricalObsField,
    LayerField,
    NumericalJointObsField,
    NumericalObsField,
)

from scgauge._core.adapter import VAEAdapter, register_adapter
from scgauge._core.compat import ADATA_MINIFY_TYPE, get_minify_type
from scgauge._core.matrix import column_sums, get_matrix
from scgauge.model._base import CountModel
from scgauge.model._gene_embedding import read_gene_embedding
from scgauge.model._library import library_prior_of
from scgauge.module import CountVAE
from scgauge.nn import LIKELIHOODS

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scgauge.module import Dispersion, NormWhere
    from scgauge.nn import GeneLikelihood


class CountVI(CountModel):
    r"""Variational autoencoder of single-cell counts, a drop-in for :class:`scvi.model.SCVI` :cite:p:`Lopez18`.

    Use it to embed cells, to correct batches, to test for differential expression and to draw synthetic cells with
    :func:`scgauge.tl.sample`. It differs from SCVI in what it promises: every cell is checked to hold what the
    likelihood describes, the KL weight reaches 1 in every run (so that the prior means something), each likelihood
    works with each method, no parameter is unused, and mapping a query leaves the reference exactly as it was. For
    equal weights its ELBO equals SCVI's. The generative model is written out in :class:`scgauge.module.CountVAE`.

    Parameters
    ----------
    adata
        Cells registered with :meth:`setup_anndata`.
    registry
        Registry of a data module, to build the model without an AnnData and train it with
        ``train(datamodule=...)``.
    n_hidden
        Width of the hidden layers.
    n_latent
        Dimension of the latent space.
    n_layers
        Hidden layers of encoder and decoder.
    dropout_rate
        Dropout in the encoder.
    dispersion
        Dispersion (standard deviation for ``"normal"``) of each gene, of each gene and batch, or of each gene and
        cell.
    gene_likelihood
        ``"zinb"``, ``"nb"`` or ``"poisson"`` for counts, ``"bernoulli"`` for data that are exactly 0 or 1,
        ``"normal"`` for log-normalised data (negative values allowed).
    use_observed_lib_size
        Whether the library size of a cell is its sum of counts; else it is a latent variable with one log-normal
        prior for each batch. Only counts have a library.
    encode_covariates
        Whether the encoder sees batch and covariates.
    deeply_inject_covariates
        Whether every layer sees the covariates, not the first alone.
    use_batch_norm, use_layer_norm
        Where to normalise layers: ``"encoder"``, ``"decoder"``, ``"both"`` or ``"none"``.
    gene_embedding_key
        Key in ``adata.varm`` of an embedding of the genes (:func:`scgauge.pp.gene_embedding`, or a data frame): the
        weights of the first encoder layer are then predicted from it, a diet network :cite:p:`Romero17`. Experimental.

    Raises
    ------
    ValueError
        If the data do not fit the likelihood or an argument is out of range.
    KeyError
        If there is no such embedding in ``adata.varm``.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.model.CountVI.setup_anndata(adata)
    >>> model = scgauge.model.CountVI(adata, n_latent=2, gene_likelihood="nb")
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> model.get_latent_representation().shape
    (60, 2)
    """

    _module_cls = CountVAE
    _takes_annbatch = True

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
        gene_likelihood: GeneLikelihood = "zinb",
        use_observed_lib_size: bool = True,
        encode_covariates: bool = False,
        deeply_inject_covariates: bool = True,
        use_batch_norm: NormWhere = "both",
        use_layer_norm: NormWhere = "none",
        gene_embedding_key: str | pd.DataFrame | None = None,
    ) -> None:
        super().__init__(adata, registry)
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
        }
        if gene_embedding_key is not None:
            # The embedding itself is kept, so that a saved model and a query need no varm.
            genes = np.asarray(self.get_var_names()).astype(str)
            embedding = gene_embedding_key = read_gene_embedding(gene_embedding_key, adata, genes)
            network["gene_embedding"] = embedding.to_numpy()
        self._build(adata, network)
        self.init_params_ = self._get_init_params(locals())

    def _build(self, adata: AnnData | None, network: dict[str, Any], **more: Any) -> None:
        """Check data and arguments, then make the module; `more` are arguments of a module that CountVI has not."""
        self._check_arguments(network)
        if adata is not None:
            self._check_data(adata, network["gene_likelihood"])
        self.module = self._module_cls(**more, **self._data_arguments(network), **network)
        self.module.minified_data_type = self.minified_data_type
        told = {name: value for name, value in network.items() if not isinstance(value, np.ndarray)}
        arguments = ", ".join(f"{name}: {value}" for name, value in told.items())
        self._model_summary_string = f"{type(self).__name__} model with the following parameters: \n{arguments}."

    def _check_arguments(self, network: dict[str, Any]) -> None:
        """Raise ValueError if an argument of the network is out of range or does not go with the likelihood."""
        for name in ("n_hidden", "n_latent", "n_layers"):
            if not isinstance(network[name], int) or network[name] < 1:
                message = f"{name}={network[name]!r} was given; an integer of at least 1 is needed."
                raise ValueError(message)
        if not 0 <= network["dropout_rate"] < 1:
            message = f"dropout_rate={network['dropout_rate']!r} was given; it must be in [0, 1)."
            raise ValueError(message)
        where = ("encoder", "decoder", "both", "none")
        choices = {
            "dispersion": ("gene", "gene-batch", "gene-cell"),
            "gene_likelihood": tuple(LIKELIHOODS),
            "use_batch_norm": where,
            "use_layer_norm": where,
        }
        for name, allowed in choices.items():
            if network[name] not in allowed:
                message = f"{name}={network[name]!r} was given; choose from {list(allowed)}."
                raise ValueError(message)
        if LIKELIHOODS[network["gene_likelihood"]].counts:
            return
        likelihood = network["gene_likelihood"]
        if not network["use_observed_lib_size"]:
            message = f"gene_likelihood={likelihood!r} has no library; leave `use_observed_lib_size` at True."
            raise ValueError(message)
        if self._size_factor_key is not None:
            message = (
                f"gene_likelihood={likelihood!r} has no library, but size_factor_key={self._size_factor_key!r} was "
                "registered. Run setup_anndata without it."
            )
            raise ValueError(message)

    @property
    def _size_factor_key(self) -> str | None:
        return self.registry_["setup_args"].get("size_factor_key")

    def _data_arguments(self, network: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the module that follow from the data."""
        fields = self.registry_["field_registries"]
        covariates = fields.get(REGISTRY_KEYS.CAT_COVS_KEY, {}).get("state_registry") or {}
        n_batch = int(self.summary_stats.n_batch)
        arguments = {
            "n_input": int(self.summary_stats.n_vars),
            "n_batch": n_batch,
            "n_continuous_cov": int(self.summary_stats.get("n_extra_continuous_covs", 0)),
            "n_cats_per_cov": [int(n) for n in covariates.get("n_cats_per_key", ())],
            "use_size_factor": self._size_factor_key is not None,
        }
        latent_library = not network["use_observed_lib_size"] and self._size_factor_key is None
        has_counts = self.adata is not None and self.minified_data_type != ADATA_MINIFY_TYPE.LATENT_POSTERIOR
        if latent_library and has_counts:
            means, variances = library_prior_of(self.adata_manager, n_batch)
            arguments |= {"library_log_means": means, "library_log_vars": variances}
        return arguments

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        *,
        layer: str | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
        size_factor_key: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Register cells: which matrix holds the data and which columns of ``obs`` the model reads.

        Parameters
        ----------
        adata
            Cells. Any matrix kind of AnnData is taken; csr is the fastest.
        layer
            Layer with the data, ``adata.X`` if ``None``.
        batch_key
            Column of ``obs`` with the batch.
        labels_key
            Column of ``obs`` with labels; kept with the model, not read by it.
        size_factor_key
            Column of ``obs`` with positive size factors, which then take the place of the library size.
        categorical_covariate_keys
            Columns of ``obs`` with further categories to account for.
        continuous_covariate_keys
            Columns of ``obs`` with numbers to account for.
        **kwargs
            Passed to :meth:`scvi.data.AnnDataManager.register_fields`.

        Raises
        ------
        TypeError
            If an argument is of another type, or a column holds values of several types.
        KeyError
            If the layer or a column does not exist.
        ValueError
            If `adata` is a view, a column has missing values, size factors are not positive, or gene names repeat.
        """
        cls._check_setup(
            adata, layer, batch_key, labels_key, size_factor_key, categorical_covariate_keys, continuous_covariate_keys
        )
        if not kwargs:
            _warn_of_empty_genes(adata, layer)
        setup_method_args = cls._get_setup_method_args(
            cls=cls,
            adata=adata,
            layer=layer,
            batch_key=batch_key,
            labels_key=labels_key,
            size_factor_key=size_factor_key,
            categorical_covariate_keys=categorical_covariate_keys,
            continuous_covariate_keys=continuous_covariate_keys,
        )
        fields = cls._count_fields(setup_method_args["setup_args"])
        minify_type = get_minify_type(adata)
        if minify_type is not None:
            fields += cls._get_fields_for_adata_minification(minify_type)
        manager = AnnDataManager(fields=fields, setup_method_args=setup_method_args)
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    @staticmethod
    def _count_fields(arguments: dict[str, Any]) -> list[Any]:
        """Return the fields of the registry that every count model has, by the arguments of its set-up."""
        return [
            # The model checks every entry, for its likelihood; scvi-tools would look at 20 and warn.
            LayerField(REGISTRY_KEYS.X_KEY, arguments["layer"], is_count_data=False),
            CategoricalObsField(REGISTRY_KEYS.BATCH_KEY, arguments["batch_key"]),
            CategoricalObsField(REGISTRY_KEYS.LABELS_KEY, arguments["labels_key"]),
            NumericalObsField(REGISTRY_KEYS.SIZE_FACTOR_KEY, arguments["size_factor_key"], required=False),
            CategoricalJointObsField(REGISTRY_KEYS.CAT_COVS_KEY, arguments["categorical_covariate_keys"]),
            NumericalJointObsField(REGISTRY_KEYS.CONT_COVS_KEY, arguments["continuous_covariate_keys"]),
        ]


def _warn_of_empty_genes(adata: AnnData, layer: str | None) -> None:
    if get_minify_type(adata) is not None:
        return
    n_empty = int((column_sums(get_matrix(adata, layer)) == 0).sum())
    if n_empty:
        warnings.warn(
            f"{n_empty} of {adata.n_vars} genes have no count in any cell; they are fitted at a cost and teach "
            "nothing. Run: sc.pp.filter_genes(adata, min_cells=1)",
            UserWarning,
            stacklevel=3,
        )


register_adapter(CountVI, VAEAdapter)
