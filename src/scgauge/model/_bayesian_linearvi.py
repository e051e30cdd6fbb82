from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, get_args

from scvi.model.base import PyroSviTrainMixin

from scgauge._core.adapter import VAEAdapter, adapt, register_adapter
from scgauge._core.compat import shares_cells
from scgauge.model._base import CountModel
from scgauge.model._factors import factors_of
from scgauge.model._linearvi import LinearVI
from scgauge.module import BayesianLDVAE, Covariance
from scgauge.train import BayesianTrainingPlan, CellSplitter

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from anndata import AnnData

    from scgauge.model._factors import Order, Rotation
    from scgauge.module import Dispersion, NormWhere
    from scgauge.nn import GeneLikelihood


class BayesianLinearVI(PyroSviTrainMixin, LinearVI):
    r"""LinearVI with credible intervals of the loadings.

    Loadings have a prior that shrinks factors that are not needed and a variational posterior, fitted with Pyro
    :cite:p:`Bingham19`, so that each comes with an interval, the probability of its sign and a local false sign rate
    :cite:p:`Stephens17`. All else is as in :class:`LinearVI`, with the posterior means as loadings. The generative
    model and the guide are written out in :class:`scgauge.module.BayesianLDVAE`.

    Parameters
    ----------
    adata
        Cells registered with :meth:`setup_anndata`.
    n_hidden
        Width of the hidden layers of the encoder.
    n_latent
        Number of factors; superfluous ones are shrunk.
    n_layers
        Hidden layers of the encoder.
    dropout_rate
        Dropout in the encoder.
    dispersion
        Dispersion of each gene, or of each gene and batch.
    gene_likelihood
        ``"nb"`` or ``"poisson"``.
    encode_covariates
        Whether the encoder sees batch and covariates.
    deeply_inject_covariates
        Whether every layer of the encoder sees them, not the first alone.
    use_batch_norm, use_layer_norm
        Whether to normalise layers of the ``"encoder"``, or ``"none"``.
    covariance
        ``"full"``: the posterior of a gene knows how its loadings on different factors depend on each other;
        ``"diagonal"`` (mean field) does not, has fewer parameters and somewhat narrower intervals.

    Raises
    ------
    ValueError
        If the data do not fit the likelihood or an argument is out of range.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_counts(60, 20, rng=0)
    >>> scgauge.model.BayesianLinearVI.setup_anndata(adata)
    >>> model = scgauge.model.BayesianLinearVI(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> table = model.get_loadings(return_interval=0.9, rotation="varimax")
    >>> bool((table["lower"] < table["upper"]).all())
    True
    """

    _module_cls = BayesianLDVAE
    _takes_annbatch = False
    _training_plan_cls = BayesianTrainingPlan
    _data_splitter_cls = CellSplitter

    def __init__(
        self,
        adata: AnnData,
        *,
        n_hidden: int = 128,
        n_latent: int = 10,
        n_layers: int = 1,
        dropout_rate: float = 0.1,
        dispersion: Dispersion = "gene",
        gene_likelihood: GeneLikelihood = "nb",
        encode_covariates: bool = False,
        deeply_inject_covariates: bool = True,
        use_batch_norm: NormWhere = "encoder",
        use_layer_norm: NormWhere = "none",
        covariance: Covariance = "full",
    ) -> None:
        # Not that of LinearVI, which has options that would contradict the prior.
        CountModel.__init__(self, adata)  # type: ignore[call-arg]
        network: dict[str, Any] = {
            "n_hidden": n_hidden,
            "n_latent": n_latent,
            "n_layers": n_layers,
            "dropout_rate": dropout_rate,
            "dispersion": dispersion,
            "gene_likelihood": gene_likelihood,
            "use_observed_lib_size": True,
            "encode_covariates": encode_covariates,
            "deeply_inject_covariates": deeply_inject_covariates,
            "use_batch_norm": use_batch_norm,
            "use_layer_norm": use_layer_norm,
            "covariance": covariance,
        }
        self._build(adata, network)
        self._start_intercepts()
        self.init_params_ = self._get_init_params(locals())

    def train(self, *args: Any, resume_from: str | Path | None = None, **kwargs: Any) -> Any:
        """Train the model; the learning rate falls in the second half of the run.

        Parameters
        ----------
        *args
            As for :meth:`scvi.model.base.PyroSviTrainMixin.train`: ``max_epochs``, ...
        resume_from
            As for :meth:`CountVI.train`.
        **kwargs
            As for :meth:`scvi.model.base.PyroSviTrainMixin.train`: ``max_epochs``, ``train_size``, ``batch_size``,
            ``plan_kwargs``, ... and those of the trainer. ``devices`` may be given as for other models.

        Returns
        -------
        What the training runner of scvi-tools returns.
        """
        if "device" in kwargs:
            kwargs["devices"] = kwargs.pop("device")
        train = super().train

        # What scvi-tools does for models without Pyro alone: the usual name of devices, and cells that processes share.
        @wraps(train)
        def train_as_others(*args: Any, devices: Any = "auto", **given: Any) -> Any:
            if shares_cells(given.get("strategy")):
                shared = {"distributed_sampler": True}
                given["datasplitter_kwargs"] = shared | (given.get("datasplitter_kwargs") or {})
            return train(*args, device=devices, **given)

        return self._run(train_as_others, args, kwargs, resume_from)

    def _check_arguments(self, network: dict[str, Any]) -> None:
        choices = {
            "gene_likelihood": ("nb", "poisson"),
            "dispersion": ("gene", "gene-batch"),
            "use_batch_norm": ("encoder", "none"),
            "covariance": get_args(Covariance),
        }
        for name, allowed in choices.items():
            if network[name] not in allowed:
                message = f"{name}={network[name]!r} was given; choose from {list(allowed)}."
                raise ValueError(message)
        super()._check_arguments(network | {"l1": 0.0, "non_negative": False})

    def get_loadings(
        self,
        *,
        centered: bool = True,
        rotation: Rotation | np.ndarray | None = None,
        order: Order | None = "explained",
        return_interval: float | None = None,
    ) -> pd.DataFrame:
        """Return the posterior means of the loadings, or a table with their intervals.

        Parameters
        ----------
        centered, rotation, order
            See :meth:`LinearVI.get_loadings`. The rotation is found for the posterior means and is the same for the
            whole posterior; its own uncertainty, which belongs to no gene, is left out.
        return_interval
            Probability of the credible intervals, for example 0.9.

        Returns
        -------
        Posterior means, ``(n_genes, n_latent)``. With `return_interval` a table with a row for each factor and gene and
        the columns ``factor``, ``gene``, ``loading``, ``sd``, ``lower``, ``upper``, ``probability_positive`` and
        ``local_false_sign_rate``, the probability that the sign of the loading is the other one.
        """
        if return_interval is None:
            return super().get_loadings(centered=centered, rotation=rotation, order=order)
        factors = factors_of(adapt(self), centered=centered, rotation=rotation, order=order, interval=return_interval)
        return factors.intervals

    @classmethod
    def load_query_data(cls, *args: Any, **kwargs: Any) -> None:
        """Raise an error: queries are mapped onto :class:`LinearVI`.

        Parameters
        ----------
        *args, **kwargs
            Not read.

        Raises
        ------
        NotImplementedError
            Always.
        """
        message = "BayesianLinearVI maps no queries. Train a LinearVI for that, and match the factors of both."
        raise NotImplementedError(message)


register_adapter(BayesianLinearVI, VAEAdapter)
