from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scvi.data import AnnDataManager

from scgauge._core.checks import check_adata, check_unique_names
from scgauge._core.registry_keys import BASELINE_KEY, SUBJECT_KEY, TIME_KEY
from scgauge.model._base import CountModel
from scgauge.model._countvi import CountVI
from scgauge.model._dynamics_results import DynamicsResults
from scgauge.model._group_results import GroupResults
from scgauge.model._ode_parameters import ParameterResults
from scgauge.model._state_prediction import StatePrediction
from scgauge.model._subject_field import SubjectField, check_measured, check_subjects
from scgauge.model._subject_results import SubjectResults
from scgauge.model._time_fields import BaselineField, TimeField, check_baseline, check_time, warn_of_confounding
from scgauge.model._trajectory_groups import TrajectoryGroups
from scgauge.module import ODEVAE, LongitudinalVAE
from scgauge.train import LongitudinalPlan, SnapshotPlan, SubjectSplitter

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
    DynamicsResults, ParameterResults, StatePrediction, SubjectResults, GroupResults, TrajectoryGroups, CountVI
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
    be missing (NaN).

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
        if not isinstance(field, str) and dynamics_kwargs:
            message = "dynamics_kwargs are for fields given by name; a module has its arguments already."
            raise ValueError(message)
        if baseline_dropout is not None and not 0 <= baseline_dropout < 1:
            message = f"baseline_dropout={baseline_dropout!r} was given; a share in [0, 1) is needed."
            raise ValueError(message)
        if not isinstance(n_groups, int) or n_groups < 1 or (individuals and n_groups > 1):
            need = (
                "1 is needed for individuals; divide them with get_trajectory_groups"
                if individuals
                else ("an integer of at least 1 is needed")
            )
            message = f"n_groups={n_groups!r} was given; {need}."
            raise ValueError(message)
        parts = {"dynamics_kwargs": dynamics_kwargs, "n_groups": n_groups, "baseline_dropout": baseline_dropout}
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
        """Let single items of individuals be missing where the likelihood is normal."""
        if self._subject_key is None or gene_likelihood != "normal":
            super()._check_data(adata, gene_likelihood)
            return
        check_adata(adata)
        check_unique_names(adata)
        check_measured(adata, self._layer)

    @property
    def _fields(self) -> dict[str, Any]:
        return self.registry_["field_registries"]

    def _data_arguments(self, network: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the module that follow from the data."""
        baseline = self._fields.get(BASELINE_KEY, {}).get("state_registry") or {}
        return super()._data_arguments(network) | {
            "times": self._fields[TIME_KEY]["state_registry"]["times"],
            "n_baseline": len(baseline.get("columns", ())),
        }

    def train(self, max_epochs: int | None = None, **kwargs: Any) -> None:  # type: ignore[override]
        """Train autoencoder and dynamics.

        Parameters
        ----------
        max_epochs
            Passes through the cells; by the number of cells, at most 300 (of individuals, at most 400), if ``None``.
        **kwargs
            Passed to :meth:`scvi.model.base.UnsupervisedTrainingMixin.train`. ``plan_kwargs`` takes the arguments of
            :class:`scgauge.train.SnapshotPlan` or, of individuals, :class:`scgauge.train.LongitudinalPlan`;
            ``batch_size`` and ``train_size`` then count individuals. With ``early_stopping=True`` the autoencoder is
            watched on validation cells.
        """
        if self._subject_key is not None:
            kwargs = {"gradient_clip_val": _CLIP} | kwargs
            if max_epochs is None:
                n_subjects = len(np.unique(self._registered(self.adata, SUBJECT_KEY)))
                max_epochs = min(_LONGEST_OF_SUBJECTS, max(1, round(1000 / n_subjects * _LONGEST_OF_SUBJECTS)))
        elif max_epochs is None and self.adata is not None:
            max_epochs = int(min(_LONGEST, max(1, round(20_000 / self.adata.n_obs * 400))))
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
        baseline_keys: list[str] | None = None,
        baseline_obsm_key: str | None = None,
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
            Column of ``obs`` with the individual that a row is a visit of; one row for each of its times. Without it
            cells are snapshots.
        baseline_keys
            Columns of ``obs`` with numbers or categories on which the parameters of the dynamics depend; of
            individuals, the same at all visits.
        baseline_obsm_key
            Key of ``obsm`` with a matrix or table of them instead.
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
            factors are not positive, or gene names repeat; if a baseline variable changes within a subject, a subject
            has two rows at one time, or none has two visits.
        """
        check_adata(adata)
        if not kwargs:
            check_time(adata, time_key, snapshots=subject_key is None)
        if subject_key is not None:
            check_subjects(adata, subject_key, time_key, training=not kwargs)
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
            baseline_keys=baseline_keys,
            baseline_obsm_key=baseline_obsm_key,
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
            fields.append(SubjectField(SUBJECT_KEY, subject_key))
        manager = AnnDataManager(fields=fields, setup_method_args=setup_method_args)
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    def _validate_anndata(self, adata: AnnData | None = None, copy_if_view: bool = True) -> AnnData:
        """Check also the times of data that the model has not seen."""
        with warnings.catch_warnings():
            if self._subject_key is not None:
                # A single individual with two visits can be predicted.
                warnings.filterwarnings("ignore", message="Category .* has fewer than 3 cells", category=UserWarning)
            if adata is not None:
                check_adata(adata)
                if self.get_anndata_manager(adata) is None:
                    self._check_other(adata)
            return CountModel._validate_anndata(self, adata, copy_if_view)

    def _check_other(self, adata: AnnData) -> None:
        """Raise an error unless data that the model has not seen have its times, subjects and baseline variables."""
        arguments = self.registry_["setup_args"]
        key, subject = arguments["time_key"], arguments.get("subject_key")
        for name, kind in ((key, "time"), (subject, "subject")):
            if name is not None and name not in adata.obs:
                message = f"Did not find {name!r} in adata.obs, which the model was set up with as its {kind}."
                raise KeyError(message)
        if subject is not None:
            check_subjects(adata, subject, key, training=False)
        check_baseline(adata, arguments.get("baseline_keys") or (), subject, arguments.get("baseline_obsm_key"))
