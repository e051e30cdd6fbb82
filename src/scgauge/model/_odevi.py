from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scvi.data import AnnDataManager
from scvi.data.fields import NumericalObsField

from scgauge._core.checks import check_adata, check_unique_names
from scgauge._core.registry_keys import BASELINE_KEY, GROWTH_KEY, SUBJECT_KEY, TIME_KEY
from scgauge.model._countvi import CountVI
from scgauge.model._dynamics_results import DynamicsResults
from scgauge.model._group_results import GroupResults
from scgauge.model._ode_parameters import ParameterResults
from scgauge.model._restarts import Restarts
from scgauge.model._state_prediction import StatePrediction
from scgauge.model._subject_field import SubjectField, check_measured, check_taken
from scgauge.model._subject_results import SubjectResults
from scgauge.model._time_fields import BaselineField, TimeField, check_baseline, warn_of_confounding
from scgauge.model._time_series_cells import TimeSeriesCells, check_series
from scgauge.model._trajectory_groups import TrajectoryGroups
from scgauge.module import ODEVAE, LongitudinalVAE
from scgauge.train import CohortSplitter, LongitudinalPlan, SnapshotPlan, SubjectSplitter

if TYPE_CHECKING:
    from anndata import AnnData
    from torch import nn

    from scgauge.module import Dispersion, NormWhere
    from scgauge.nn import GeneLikelihood
    from scgauge.nn.dynamics import Dynamics

#: Longest default runs, in epochs: of snapshots, of individuals.
_LONGEST, _LONGEST_OF_SUBJECTS = 300, 400
#: Share of many baseline variables that is hidden in training, and how many are many.
_HIDDEN, _MANY = 0.5, 10
#: Length to which gradients are clipped in the training of individuals.
_CLIP = 10.0


class ODEVI(
    DynamicsResults,
    ParameterResults,
    StatePrediction,
    SubjectResults,
    GroupResults,
    TrajectoryGroups,
    Restarts,
    TimeSeriesCells,
    CountVI,
):
    r"""Variational autoencoder with latent dynamics, for time series of single cells or of individuals.

    *Snapshots.* Each cell is measured once; cells of several times are snapshots of a moving cloud. The autoencoder of
    :class:`CountVI` embeds all cells, a vector field :math:`\dot z = f(t, z)` in its latent space moves the cells of
    each snapshot onto those of the next, and its likelihood draws counts at any time, between the snapshots or after.
    The decoder never sees the time. How it is trained is written in :class:`scgauge.train.SnapshotPlan`, the model in
    :class:`scgauge.module.ODEVAE`; use :func:`scgauge.tl.held_out_time` to see whether its predictions are better than
    simple ones on your data.

    *Individuals* (`subject_key`) :cite:p:`Hackenberg22`. Rows are visits of individuals at irregular times; two visits
    are enough. The parameters of the dynamics of each individual follow from baseline variables; each visit is a
    starting value, and starts are combined by inverse variance (:class:`scgauge.module.LongitudinalVAE`,
    :class:`scgauge.train.LongitudinalPlan`). Scores of tests take ``gene_likelihood="normal"``, where single items may
    be missing (NaN). With `instrument_key` several tests, of which a visit may take any, measure one latent state
    :cite:p:`Hackenberg25b`: a test that was not taken is predicted from the others.

    *Cohorts* (`subject_key`, with several cells of a subject at each of its times). The dynamics of each subject follow
    from its baseline variables, as those of individuals, and move its clouds of cells onto each other, as snapshots.

    Parameters
    ----------
    adata
        Cells registered with :meth:`setup_anndata`.
    registry
        Registry of the data, to build the model without an AnnData.
    dynamics
        Vector field: ``"neural"`` (network of place and time with a decaying linear part), ``"potential"`` (descent in
        a landscape), ``"local_linear"`` (affine system that changes with place and time), ``"affine"``, ``"linear"``,
        ``"linear_diag"``, ``"drift"`` (closed solutions), ``"lotka_volterra"``, or any :class:`torch.nn.Module` with
        ``forward(t, z, theta)``, an attribute ``n_theta`` and, if wanted, ``theta_names``. ``None`` is ``"neural"`` for
        snapshots and ``"affine"`` for individuals.
    dynamics_kwargs
        Arguments of a field given by name: ``n_hidden`` of the learned ones, ``stable=True`` of the linear ones,
        ``fixed`` of ``"lotka_volterra"``.
    n_groups
        Number of groups of cells with dynamics of their own, for branching ways (snapshots only). Which group a cell
        belongs to is learned; see :meth:`get_groups`.
    baseline_dropout
        Share of the baseline variables that is hidden from the network of individual parameters at random in training,
        so that it cannot recognise individuals; ``None`` is 0.5 from 10 variables on, else 0.
    n_hidden, n_latent, n_layers, dropout_rate, dispersion, gene_likelihood, use_observed_lib_size
        See :class:`CountVI`. The default likelihood is ``"nb"``. ``n_latent=None`` is 10, for individuals 2;
        ``dropout_rate=None`` is 0.1, for individuals 0.
    encode_covariates, deeply_inject_covariates, use_batch_norm, use_layer_norm
        See :class:`CountVI`. ``use_batch_norm=None`` is ``"both"``, for individuals ``"none"``.

    Raises
    ------
    ValueError
        If the data do not fit the likelihood or an argument is out of range.
    TypeError
        If `dynamics` is neither a name nor a usable module.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_time_series(120, 30, times=(0, 1, 2), rng=0)
    >>> scgauge.model.ODEVI.setup_anndata(adata, time_key="time")
    >>> model = scgauge.model.ODEVI(adata, n_latent=2, dynamics="linear")
    >>> model.train(max_epochs=2, plan_kwargs={"n_flow_steps": 5}, enable_progress_bar=False)
    >>> between = model.predict_state(times=[0.5, 1.5], n_cells=10)
    >>> between.shape, between.obs["time"].unique()
    ((20, 30), array([0.5, 1.5]))
    """

    _module_cls = ODEVAE  # type: ignore[assignment]
    _takes_annbatch = False
    _training_plan_cls = SnapshotPlan

    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict[str, Any] | None = None,
        *,
        dynamics: Dynamics | nn.Module | None = None,
        dynamics_kwargs: dict[str, Any] | None = None,
        n_groups: int = 1,
        baseline_dropout: float | None = None,
        n_hidden: int = 128,
        n_latent: int | None = None,
        n_layers: int = 1,
        dropout_rate: float | None = None,
        dispersion: Dispersion = "gene",
        gene_likelihood: GeneLikelihood = "nb",
        use_observed_lib_size: bool = True,
        encode_covariates: bool = False,
        deeply_inject_covariates: bool = True,
        use_batch_norm: NormWhere | None = None,
        use_layer_norm: NormWhere = "none",
    ) -> None:
        super(CountVI, self).__init__(adata, registry)
        individuals = self._subject_key is not None
        if individuals:
            self._module_cls, self._training_plan_cls = LongitudinalVAE, LongitudinalPlan
            self._data_splitter_cls = SubjectSplitter
            self._trains_alone = "ODEVI of individuals compares all of them in each process."
        elif self._is_cohort:
            self._data_splitter_cls = CohortSplitter
            self._trains_alone = "ODEVI of cohorts matches the cells of each subject in one process."
        network: dict[str, Any] = {
            "n_hidden": n_hidden,
            "n_latent": (2 if individuals else 10) if n_latent is None else n_latent,
            "n_layers": n_layers,
            "dropout_rate": (0.0 if individuals else 0.1) if dropout_rate is None else dropout_rate,
            "dispersion": dispersion,
            "gene_likelihood": gene_likelihood,
            "use_observed_lib_size": use_observed_lib_size,
            "encode_covariates": encode_covariates,
            "deeply_inject_covariates": deeply_inject_covariates,
            "use_batch_norm": ("none" if individuals else "both") if use_batch_norm is None else use_batch_norm,
            "use_layer_norm": use_layer_norm,
        }
        field = ("affine" if individuals else "neural") if dynamics is None else dynamics
        self._check_dynamics(field, dynamics_kwargs, baseline_dropout, n_groups)
        parts = {"dynamics_kwargs": dynamics_kwargs, "n_groups": n_groups, "baseline_dropout": baseline_dropout}
        self._parts = network, {"dynamics": field, **parts}
        self._build(adata, network, dynamics=field, **parts)
        name = field if isinstance(field, str) else type(field).__name__
        self._model_summary_string = f"{self._model_summary_string.removesuffix('.')}, dynamics: {name}."
        self.init_params_ = self._get_init_params(locals())

    def _build(self, adata: AnnData | None, network: dict[str, Any], **more: Any) -> None:
        """Make the module; few baseline variables are all shown."""
        if more["baseline_dropout"] is None:
            baseline = self._fields.get(BASELINE_KEY, {}).get("state_registry") or {}
            more["baseline_dropout"] = _HIDDEN if len(baseline.get("columns", ())) >= _MANY else 0.0
        super()._build(adata, network, **more)

    def _check_data(self, adata: AnnData, gene_likelihood: str) -> None:
        """Let single items of individuals, and whole instruments, be missing where the likelihood is normal."""
        instruments = self._instruments
        if gene_likelihood != "normal" and instruments:
            message = (
                f"gene_likelihood={gene_likelihood!r} was given with instrument_key; an instrument that was not taken "
                "is NaN, which counts cannot be. Use 'normal', counts as their logarithms."
            )
            raise ValueError(message)
        if self._subject_key is None or gene_likelihood != "normal":
            super()._check_data(adata, gene_likelihood)
            return
        check_adata(adata)
        check_unique_names(adata)
        training = adata is self.adata
        if training and instruments:
            check_taken(adata, self._layer, instruments, self._registered(adata, SUBJECT_KEY).ravel())
        check_measured(adata, self._layer, training=training)

    @property
    def _fields(self) -> dict[str, Any]:
        return self.registry_["field_registries"]

    def _data_arguments(self, network: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the module that follow from the data."""
        baseline = self._fields.get(BASELINE_KEY, {}).get("state_registry") or {}
        several = {"instruments": self._instruments} if self._instruments else {}
        return (
            super()._data_arguments(network)
            | several
            | {
                "times": self._fields[TIME_KEY]["state_registry"]["times"],
                "n_baseline": len(baseline.get("columns", ())),
            }
        )

    def train(self, max_epochs: int | None = None, *, n_starts: int = 1, **kwargs: Any) -> None:  # type: ignore[override]
        """Train autoencoder and dynamics.

        Parameters
        ----------
        max_epochs
            Passes through the cells; by the number of cells, at most 300 (of individuals, at most 400), if ``None``.
        n_starts
            Of individuals at visits, the number of full runs from different starting values, of which the one with the
            lowest loss is kept: of validation subjects, or of training subjects if there are none. The first run starts
            from the values that the model has, the others from new ones; a field that was given as a module starts as
            it was given. See :meth:`get_starts`.
        **kwargs
            Passed to :meth:`scvi.model.base.UnsupervisedTrainingMixin.train`. ``plan_kwargs`` takes the arguments of
            :class:`scgauge.train.SnapshotPlan` or, of individuals, :class:`scgauge.train.LongitudinalPlan`;
            ``batch_size`` and ``train_size`` then count individuals. With ``early_stopping=True`` the autoencoder is
            watched on validation cells.

        Raises
        ------
        ValueError
            If `n_starts` is no integer from 1; if it is more than 1 with snapshots or cohorts, or with what belongs to
            one run (``resume_from``, ``callbacks``, ``logger``, ``ckpt_path``); if cohorts are given ``joint_share``.
        """
        self._check_starts(n_starts, kwargs)
        if n_starts > 1:
            self._train_from_several(n_starts, {"max_epochs": max_epochs, **kwargs})
            self.train_params_["n_starts"] = int(n_starts)
            return
        self.starts_ = None
        if self._subject_key is not None:
            kwargs = {"gradient_clip_val": _CLIP} | kwargs
            if max_epochs is None:
                n_subjects = len(np.unique(self._registered(self.adata, SUBJECT_KEY)))
                max_epochs = min(_LONGEST_OF_SUBJECTS, max(1, round(1000 / n_subjects * _LONGEST_OF_SUBJECTS)))
        elif max_epochs is None and self.adata is not None:
            max_epochs = int(min(_LONGEST, max(1, round(20_000 / self.adata.n_obs * 400))))
        if self._is_cohort and (kwargs.get("plan_kwargs") or {}).get("joint_share"):
            message = "joint_share was given; autoencoder and field of cohorts are trained one after the other."
            raise ValueError(message)
        if kwargs.get("strategy") == "ddp":
            # The field is not in the loss while the autoencoder is trained alone.
            kwargs["strategy"] = "ddp_find_unused_parameters_true"
        super().train(max_epochs=max_epochs, **kwargs)

    @classmethod
    def load_query_data(cls, *args: Any, **kwargs: Any) -> None:
        """Not available: dynamics that were learnt from given times do not extend to other batches by themselves.

        Parameters
        ----------
        *args, **kwargs
            Not read.

        Raises
        ------
        NotImplementedError
            Always.
        """
        message = "ODEVI cannot map queries; train it on all cells, or map cells with CountVI.load_query_data."
        raise NotImplementedError(message)

    @classmethod
    def setup_anndata(  # type: ignore[override]
        cls,
        adata: AnnData,
        *,
        time_key: str,
        layer: str | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
        subject_key: str | None = None,
        instrument_key: str | None = None,
        baseline_keys: list[str] | None = None,
        baseline_obsm_key: str | None = None,
        growth_key: str | None = None,
        size_factor_key: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        r"""Register cells: which matrix holds the data and which columns of ``obs`` the model reads.

        Parameters
        ----------
        adata
            Cells. Any matrix kind of AnnData is taken; csr is the fastest.
        time_key
            Column of ``obs`` with the real time of each cell, a number in any unit. Every distinct value is a snapshot
            and needs at least five cells; bin a continuous time. Visits of individuals have any times.
        layer
            Layer with the data, ``adata.X`` if ``None``.
        batch_key
            Column of ``obs`` with the batch. A batch that shares no time with others cannot be told apart from the
            time; a warning names them.
        labels_key
            Column of ``obs`` with labels; kept with the model, not read by it.
        subject_key
            Column of ``obs`` with the individual that a row is a visit of; one row for each of its times. With several
            rows for each of them subjects are cohorts of cells. Without it cells are snapshots.
        instrument_key
            Column of ``var`` with the measuring instrument of an item, for individuals whose visits take one or more of
            several instruments: all items of one that was not taken are NaN. Each has an encoder and a decoder of its
            own, and all measure one latent state. Needs `subject_key` and ``gene_likelihood="normal"``.
        baseline_keys
            Columns of ``obs`` with numbers or categories on which the parameters of the dynamics depend; of
            individuals, the same at all visits.
        baseline_obsm_key
            Key of ``obsm`` with a matrix or table of them instead.
        growth_key
            Column of ``obs`` with the net growth rate of each cell, births minus deaths per unit of the user's time
            (:math:`\log 2` over the doubling time), so that cells which multiply are not read as cells which move; see
            the user guide. Not for individuals at visits.
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
        KeyError
            If the layer or a column does not exist.
        TypeError
            If times are not numbers.
        ValueError
            If `adata` is a view, a column has missing values, there is one time only or a time with too few cells, size
            factors are not positive, or gene names repeat; if growth rates are not finite, or leave a handful of cells
            to stem from; if a baseline variable changes within a subject, a subject has two rows at one time and
            is no cohort of enough cells, or none has two visits; if `instrument_key` is given
            without individuals at visits, or an instrument has one item.
        """
        check_adata(adata)
        known = kwargs.get("source_registry")
        cohort = check_series(adata, time_key, subject_key, instrument_key, growth_key, known=known)
        check_baseline(adata, baseline_keys or (), subject_key, baseline_obsm_key)
        cls._check_setup(
            adata, layer, batch_key, labels_key, size_factor_key, categorical_covariate_keys, continuous_covariate_keys
        )
        if not kwargs:
            warn_of_confounding(adata, time_key, batch_key)
        setup_method_args = cls._get_setup_method_args(
            cls=cls,
            adata=adata,
            time_key=time_key,
            layer=layer,
            batch_key=batch_key,
            labels_key=labels_key,
            subject_key=subject_key,
            instrument_key=instrument_key,
            baseline_keys=baseline_keys,
            baseline_obsm_key=baseline_obsm_key,
            growth_key=growth_key,
            size_factor_key=size_factor_key,
            categorical_covariate_keys=categorical_covariate_keys,
            continuous_covariate_keys=continuous_covariate_keys,
        )
        fields = [
            *cls._count_fields(setup_method_args["setup_args"]),
            TimeField(TIME_KEY, time_key),
            BaselineField(BASELINE_KEY, baseline_keys, baseline_obsm_key),
        ]
        if subject_key is not None:
            fields.append(SubjectField(SUBJECT_KEY, subject_key, instrument_key, cohort=cohort))
        if growth_key is not None:
            fields.append(NumericalObsField(GROWTH_KEY, growth_key))
        manager = AnnDataManager(fields=fields, setup_method_args=setup_method_args)
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)
