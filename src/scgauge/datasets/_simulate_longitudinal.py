from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scgauge._core import keys
from scgauge._core.rng import RNG, generator
from scgauge.datasets import _planted_dynamics as planted

if TYPE_CHECKING:
    from scgauge.datasets._planted_dynamics import Design

#: Last time of a visit.
_LAST = 10.0
#: Items of an instrument.
_ITEMS = 10
#: Earliest second visit, informative baseline variables and number of individuals of the published designs.
_EARLIEST = {"linear-2": 1.5, "linear-4": 1.5, "lotka-volterra": 0.1}
_INFORMATIVE = {"linear-2": 10, "linear-4": 20, "lotka-volterra": 20}
_SUBJECTS = {"linear-2": 100, "linear-4": 100, "lotka-volterra": 200}


def simulate_longitudinal(  # noqa: PLR0913 - ten without the first and `rng`
    n_subjects: int | None = None,
    *,
    design: Design = "linear-2",
    n_groups: int = 2,
    n_visits: int = 2,
    noise: float = 0.1,
    baseline: str = "group",
    n_baseline: int = 50,
    n_informative: int | None = None,
    baseline_sd: float | None = None,
    start_sd: float = 0.0,
    n_instruments: int = 1,
    rng: RNG = None,
) -> AnnData:
    r"""Simulate individuals with few irregular visits whose dynamics follow from baseline variables.

    These are the designs of the study of deep dynamic modelling with just two time points :cite:p:`Hackenberg22`.
    Individuals of a group share a system of differential equations and its start. Five of ten items measure each of
    the two states, with an offset :math:`o_j \sim \mathcal{N}(0, 0.1^2)` of each item, the same for all individuals,
    and noise. The first visit is at time 0; later ones are drawn without replacement from the times to 10, in steps of
    0.1, from 1.5 on (0.1 for ``"lotka-volterra"``).

    Harder variants have a higher `baseline_sd`, fewer `n_informative` variables or four groups; with `start_sd`
    individuals of a group start apart. With several instruments each visit takes one of them, drawn at random. The
    first measures as above. Items of further ones measure both states, with weights
    :math:`w_j \sim \mathcal{N}(0, I)` and offsets :math:`o_j \sim \mathcal{N}(0, 1)`.

    Parameters
    ----------
    n_subjects
        Number of individuals; 100, for ``"lotka-volterra"`` 200, if ``None``.
    design
        ``"linear-2"`` (start (2, 1), diagonal matrices), ``"linear-4"`` (start (4, 2), full ones) or
        ``"lotka-volterra"`` (start (2, 2)).
    n_groups
        Number of groups, at most four.
    n_visits
        Visits of each individual, from 2 on.
    noise
        Standard deviation of the noise of the items.
    baseline
        What informative baseline variables measure: ``"group"``, a value of plus or minus 1 that differs between
        groups, or ``"parameters"``, the true parameters.
    n_baseline
        Number of baseline variables.
    n_informative
        How many of them are informative; 10, or 20 for the two larger designs, if ``None``. The others are noise.
    baseline_sd
        Standard deviation of the noise of the baseline variables; 0.5 for ``"group"`` and 0.1 for ``"parameters"`` if
        ``None``.
    start_sd
        Standard deviation of the start of the individuals about that of the design, in each state.
    n_instruments
        Number of measuring instruments of ten items each.
    rng
        Seed or generator.

    Returns
    -------
    Visits, one row each, with

    ``adata.X`` : :class:`numpy.ndarray` (dtype ``float32``)
        Measured items, ``(n_subjects * n_visits, 10 * n_instruments)``; NaN of an instrument that was not taken.
    ``adata.obs``
        ``"subject"``, ``"time"``, ``"group"``.
    ``adata.var``
        ``"state"``, which of the states an item measures, or ``"both"``; ``"offset"``, its :math:`o_j`; of several
        instruments ``"instrument"``.
    ``adata.varm['weights']`` : :class:`numpy.ndarray`
        Weights of the states in each item, ``(n_items, 2)``.
    ``adata.layers['expected']`` : :class:`numpy.ndarray`
        Items without noise, of all instruments at all visits.
    ``adata.obsm['baseline']`` : :class:`pandas.DataFrame`
        Baseline variables, the same for all visits of an individual.
    ``adata.obsm['state']``, ``adata.obsm['start']`` : :class:`numpy.ndarray`
        True states at the visit and at time 0, ``(n_rows, 2)``.
    ``adata.uns['scgauge_truth']`` : :class:`dict`
        ``"params"``, the arguments; ``"parameters"``, the table of the systems; ``"trajectories"``, the table
        ``group``, ``time``, ``u1``, ``u2`` at times 0, 0.1, ..., 10 from the start of the design.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import scgauge
    >>> adata = scgauge.datasets.simulate_longitudinal(10, rng=0)
    >>> adata.shape, adata.obsm["baseline"].shape
    ((20, 10), (20, 50))
    """
    table = planted.parameters(design, n_groups)
    params: dict[str, Any] = {
        "design": design,
        "n_subjects": _SUBJECTS[design] if n_subjects is None else n_subjects,
        "n_groups": n_groups, "n_visits": n_visits, "noise": noise, "baseline": baseline,
        "n_baseline": n_baseline,
        "n_informative": _INFORMATIVE[design] if n_informative is None else n_informative,
        "baseline_sd": {"group": 0.5}.get(baseline, 0.1) if baseline_sd is None else baseline_sd,
        "start_sd": start_sd, "n_instruments": n_instruments,
    }  # fmt: skip
    _check(params)
    n, start = params["n_subjects"], np.array(planted.START[design])
    subject_rng, time_rng, item_rng, baseline_rng, start_rng, instrument_rng = generator(rng).spawn(6)
    group = subject_rng.permutation(np.arange(n) % n_groups)
    choices = np.arange(round(10 * _EARLIEST[design]), round(10 * _LAST) + 1) / 10
    later = [np.sort(time_rng.choice(choices, n_visits - 1, replace=False)) for _ in range(n)]
    times = np.column_stack([np.zeros(n), np.stack(later)])
    values = table.iloc[:, 1:].to_numpy(float)
    starts = start + start_rng.normal(0, start_sd, (n, 2))
    states = np.stack([planted.trajectory(design, values[group[i]], starts[i], times[i]) for i in range(n)])
    var, weights = _items(n_instruments, item_rng, instrument_rng)
    expected = (states @ weights.T + var["offset"].to_numpy()).reshape(n * n_visits, -1)
    items = _measure(expected, params, item_rng, instrument_rng)
    rows = np.repeat(np.arange(n), n_visits)
    obs = _visits(rows, times, pd.Categorical.from_codes(group[rows], table["group"]))
    truth = {
        "params": params,
        "parameters": table,
        "trajectories": planted.trajectories(table, design, np.tile(start, (n_groups, 1)), np.arange(101) / 10),
    }
    variables = pd.DataFrame(
        _baseline(params, values, group, baseline_rng)[rows],
        index=obs.index,
        columns=[f"baseline_{index}" for index in range(n_baseline)],
    )
    return AnnData(
        X=items.astype(np.float32),
        obs=obs,
        var=var,
        obsm={"baseline": variables, "state": states.reshape(-1, 2), "start": starts[rows]},
        varm={"weights": weights},
        layers={"expected": expected.astype(np.float32)},
        uns={keys.TRUTH: truth},
    )


def _items(
    n_instruments: int, rng: np.random.Generator, further_rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return what is noted of each item, and the weights of the states in it, ``(n_items, 2)``."""
    first = np.repeat(np.eye(2), _ITEMS // 2, axis=0)
    n_further = (n_instruments - 1) * _ITEMS
    weights = np.concatenate([first, further_rng.normal(size=(n_further, 2))])
    offset = np.concatenate([rng.normal(0, 0.1, _ITEMS), further_rng.normal(size=n_further)])
    var = pd.DataFrame(
        {"state": np.repeat(["u1", "u2", "both"], [_ITEMS // 2, _ITEMS // 2, n_further]), "offset": offset},
        index=[f"item_{index}" for index in range(len(offset))],
    )
    if n_instruments > 1:
        names = [f"instrument_{index}" for index in range(n_instruments)]
        var["instrument"] = pd.Categorical(np.repeat(names, _ITEMS), categories=names)
    return var, weights


def _measure(
    expected: np.ndarray, params: dict[str, Any], rng: np.random.Generator, further_rng: np.random.Generator
) -> np.ndarray:
    """Add noise, that of the first instrument as if it were alone; hide all but one of the instruments of a visit."""
    n_rows, n_items = expected.shape
    first, further = (n_rows, _ITEMS), (n_rows, n_items - _ITEMS)
    noise = [rng.normal(0, params["noise"], first), further_rng.normal(0, params["noise"], further)]
    items = expected + np.concatenate(noise, axis=1)
    if further[1]:
        taken = further_rng.integers(params["n_instruments"], size=(n_rows, 1))
        items[np.arange(n_items) // _ITEMS != taken] = np.nan
    return items


def _visits(rows: np.ndarray, times: np.ndarray, group: pd.Categorical) -> pd.DataFrame:
    """Return what is noted of each visit: subject, time and group."""
    names = [f"subject_{index}" for index in range(len(times))]
    return pd.DataFrame(
        {"subject": pd.Categorical.from_codes(rows, names), "time": times.ravel(), "group": group},
        index=[f"{names[row]}_visit_{index % times.shape[1]}" for index, row in enumerate(rows)],
    )


def _baseline(params: dict[str, Any], values: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the baseline variables of each individual, ``(n_subjects, n_baseline)``."""
    n_informative = params["n_informative"]
    column = np.arange(n_informative)
    if params["baseline"] == "parameters":
        signal = values[group][:, column % values.shape[1]]
    else:  # two groups differ in every variable, four in every second one
        bit = (group[:, None] >> (column % 2 if params["n_groups"] > 2 else 0 * column)) & 1
        signal = 2.0 * bit - 1
    full = np.zeros((len(group), params["n_baseline"]))
    full[:, :n_informative] = signal
    return full + rng.normal(0, params["baseline_sd"], full.shape)


def _check(params: dict[str, Any]) -> None:
    for name, lowest in (("n_subjects", params["n_groups"]), ("n_visits", 2), ("n_baseline", 1), ("n_instruments", 1)):
        if not isinstance(params[name], int | np.integer) or params[name] < lowest:
            message = f"{name}={params[name]!r} was given; an integer of at least {lowest} is needed."
            raise ValueError(message)
    if params["n_visits"] > 80:
        message = f"n_visits={params['n_visits']} was given; at most 80 are possible."
        raise ValueError(message)
    if not 0 <= params["n_informative"] <= params["n_baseline"]:
        message = f"n_informative={params['n_informative']} was given; it must be in 0..{params['n_baseline']}."
        raise ValueError(message)
    if params["baseline"] not in {"group", "parameters"}:
        message = f"baseline={params['baseline']!r} was given; choose 'group' or 'parameters'."
        raise ValueError(message)
    for name in ("noise", "baseline_sd", "start_sd"):
        if params[name] < 0:
            message = f"{name}={params[name]!r} was given; it must not be negative."
            raise ValueError(message)
