from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from scipy.special import gammaln
from tqdm.auto import tqdm

from scgauge._core.rng import RNG, generator
from scgauge._core.short_repr import short_repr
from scgauge.metrics._distances import dense_rows, euclidean, rows_per_block
from scgauge.metrics._points import Points, as_points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scgauge._core.matrix import Matrix

Statistic = Literal["energy", "cramer", "bahr", "log", "frac_a", "frac_b"]
Method = Literal["auto", "exact", "sliced"]

#: Cells of the larger sample above which ``method="auto"`` projects on lines.
SLICED_ABOVE = 30_000
#: Most rows of a block without permutations (it then stays in the cache) and with them (products pay for the rest).
_CPU_ROWS, _CPU_ROWS_PERMUTED = 512, 1024
#: Statistics that differ by this share of the largest count as equal: permutations of tied points repeat the observed
#: one up to rounding.
_TIE = 1e-10
#: Rows of a block on a GPU.
_GPU_ROWS = 8192


@dataclass(frozen=True)
class TwoSampleResult:
    r"""Result of a two-sample test; see :func:`two_sample_test`.

    Attributes
    ----------
    statistic
        :math:`T`, in the units of the data for ``"energy"`` and ``"cramer"``.
    pvalue
        Permutation p-value, at least :math:`1/(B+1)`; NaN without permutations.
    n, m
        Sizes of the samples.
    method
        How :math:`T` was computed: ``"exact"`` or ``"sliced"``.
    error
        Monte-Carlo standard error of ``statistic`` over the random lines of ``"sliced"``; 0 if exact.
    kernel
        Name of the statistic.
    null
        Statistics of the permuted samples, ``(n_permutations,)``.
    """

    statistic: float
    pvalue: float
    n: int
    m: int
    method: str
    error: float
    kernel: str
    null: np.ndarray

    __repr__ = short_repr


#: Kernels as functions of the distance; the literature writes them as functions of its square.
_KERNELS: dict[str, Callable] = {
    "energy": lambda d: d,
    "cramer": lambda d: d / 2,
    "bahr": lambda d: 1 - _exp(-(d**2) / 2),
    "log": lambda d: _log1p(d**2),
    "frac_a": lambda d: 1 - 1 / (1 + d**2),
    "frac_b": lambda d: 1 - 1 / (1 + d**2) ** 2,
}


def _exp(x: np.ndarray | torch.Tensor) -> np.ndarray | torch.Tensor:
    return torch.exp(x) if isinstance(x, torch.Tensor) else np.exp(x)


def _log1p(x: np.ndarray | torch.Tensor) -> np.ndarray | torch.Tensor:
    return torch.log1p(x) if isinstance(x, torch.Tensor) else np.log1p(x)


def two_sample_test(
    x: Points,
    y: Points,
    *,
    statistic: Statistic = "energy",
    method: Method = "auto",
    n_permutations: int = 199,
    n_directions: int = 100,
    block_rows: int | None = None,
    device: str = "cpu",
    rng: RNG = None,
    progress: bool = False,
) -> TwoSampleResult:
    r"""Test whether two samples have the same distribution, with the energy or a Cramér statistic.

    For samples of sizes :math:`n` and :math:`m` and a kernel :math:`\varphi` of the squared distance,

    .. math::

        T = \frac{nm}{n+m} \left( 2\,\overline{\varphi(|x_i-y_j|^2)} - \overline{\varphi(|x_i-x_j|^2)}
        - \overline{\varphi(|y_i-y_j|^2)} \right) ,

    means over all pairs, each point with itself included. ``"energy"`` has :math:`\varphi(z) = \sqrt z`
    :cite:p:`Szekely13`; ``"cramer"`` :math:`\sqrt z/2`; ``"bahr"`` :math:`1-e^{-z/2}`; ``"log"`` :math:`\log(1+z)`;
    ``"frac_a"`` :math:`1-1/(1+z)`; ``"frac_b"`` :math:`1-1/(1+z)^2` :cite:p:`Baringhaus04`. All of them see any
    difference of distributions, the bounded ones in the scale of about one unit of distance. (The squared distance
    itself would see means alone.)

    With weights :math:`a_i = 1/n` and :math:`-1/m` over the pooled points, :math:`T` is
    :math:`-\frac{nm}{n+m} a^\top \Phi a`, so that one pass over blocks of :math:`\Phi` serves all permutations:
    time grows with :math:`(n+m)^2 (p + B)`, memory with :math:`(n+m) B` bytes. Sums are in float64.

    ``"sliced"`` averages the statistic of the points projected on random lines, where sorting is enough, times a
    constant that makes its expectation over lines equal to :math:`T`; the permutation test is exact for it, too.

    Parameters
    ----------
    x
        First sample, ``(n, p)``: numpy array, torch tensor or scipy sparse matrix.
    y
        Second sample, ``(m, p)``.
    statistic
        ``"energy"``, ``"cramer"`` (half of it), ``"bahr"``, ``"log"``, ``"frac_a"`` or ``"frac_b"``.
    method
        ``"exact"``, ``"sliced"`` (``"energy"`` and ``"cramer"`` only), or ``"auto"``: sliced where it can be and a
        sample has more than 30,000 points, else exact.
    n_permutations
        Number of random permutations :math:`B`; with 0 the p-value is NaN.
    n_directions
        Number of random lines of ``"sliced"``.
    block_rows
        Rows of a block; chosen if ``None``. No result depends on it beyond rounding.
    device
        Where the exact statistic is computed: ``"cpu"`` or a device of torch with float64, for example ``"cuda"``.
    rng
        Seed or Generator of permutations and lines.
    progress
        Whether to show a progress bar if the test takes longer than two seconds.

    Returns
    -------
    Frozen dataclass: ``statistic``, ``pvalue`` :math:`= (1 + \#\{T^* \ge T\}) / (B + 1)`, ``n``, ``m``, ``method``,
    ``error``, ``kernel``, ``null``.

    Raises
    ------
    TypeError
        If a sample is an AnnData, a sparse tensor or not numeric.
    ValueError
        If a sample is not 2-D, is empty or not finite; if the numbers of columns differ; if an argument is unknown or
        out of range; if ``method="sliced"`` is asked of a bounded kernel.

    Examples
    --------
    >>> import numpy as np, scgauge
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> result = scgauge.metrics.two_sample_test(x, 1.5 * x[::-1] + 1, n_permutations=99, rng=0)
    >>> result.pvalue, result.method
    (0.01, 'exact')
    """
    first, second = as_points(x, name="x"), as_points(y, name="y")
    (n, p), (m, q) = first.shape, second.shape
    if p != q:
        message = f"`x` has {p} columns and `y` has {q}; both samples need the same variables."
        raise ValueError(message)
    how = _choose_method(statistic, method, max(n, m))
    for name, number, least in (("n_permutations", n_permutations, 0), ("n_directions", n_directions, 2)):
        if number < least:
            message = f"{name}={number} was given; at least {least} is needed."
            raise ValueError(message)
    labels_rng, lines_rng = generator(rng).spawn(2)
    in_first = _memberships(n, m, n_permutations, labels_rng)
    if how == "exact":
        largest = _GPU_ROWS if device != "cpu" else (_CPU_ROWS_PERMUTED if n_permutations else _CPU_ROWS)
        size = block_rows or min(rows_per_block(p), largest)
        blocks = _Blocks(first, second, statistic, size, device, progress=progress)
        values, error = _exact(blocks, in_first, n, m), 0.0
    else:
        values, error = _sliced(first, second, in_first, lines_rng, n_directions, progress=progress)
        if statistic == "cramer":
            values, error = values / 2, error / 2
    observed, null = float(values[0]), values[1:]
    as_extreme = int((null >= observed - _TIE * np.abs(values).max()).sum())
    pvalue = (1 + as_extreme) / (1 + n_permutations) if n_permutations else float("nan")
    return TwoSampleResult(observed, pvalue, n, m, how, error, statistic, null)


def _choose_method(statistic: str, method: str, n_largest: int) -> str:
    for name, value, known in (("statistic", statistic, _KERNELS), ("method", method, get_args(Method))):
        if value not in known:
            message = f"{name}={value!r} is unknown; use one of {list(known)}."
            raise ValueError(message)
    can_slice = statistic in {"energy", "cramer"}
    if method == "sliced" and not can_slice:
        message = f"method='sliced' needs statistic='energy' or 'cramer'; found {statistic!r}. Use method='exact'."
        raise ValueError(message)
    if method == "auto":
        return "sliced" if can_slice and n_largest > SLICED_ABOVE else "exact"
    return method


def _memberships(n: int, m: int, n_permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Which pooled points form the first sample, ``(n + m, 1 + n_permutations)``; column 0 is the observed split."""
    in_first = np.zeros((n + m, 1 + n_permutations), dtype=bool, order="F")
    in_first[:n, 0] = True
    for column in range(1, n_permutations + 1):
        in_first[rng.permutation(n + m)[:n], column] = True
    return in_first


class _Blocks:
    """Blocks of the kernel matrix of the pooled points, on and above the diagonal."""

    def __init__(self, x: Matrix, y: Matrix, kernel: str, size: int, device: str, *, progress: bool) -> None:
        self.x, self.y, self.kernel, self.size, self.progress = x, y, _KERNELS[kernel], size, progress
        self.device = None if device == "cpu" else torch.device(device)

    def starts(self) -> Iterator[tuple[int, Matrix, slice]]:
        """Blocks of rows of each sample with their place among the pooled points."""
        for offset, sample in ((0, self.x), (self.x.shape[0], self.y)):
            for start in range(0, sample.shape[0], self.size):
                yield offset + start, sample, slice(start, min(start + self.size, sample.shape[0]))

    def __iter__(self) -> Iterator[tuple[slice, slice, np.ndarray | torch.Tensor]]:
        pieces = list(self.starts())
        total = len(pieces) * (len(pieces) + 1) // 2
        with tqdm(total=total, desc="Two-sample test", unit="block", delay=2, disable=not self.progress) as bar:
            for index, (row, sample, rows) in enumerate(pieces):
                left = self._load(sample, rows)
                for column, other, columns in pieces[index:]:
                    right = left if column == row else self._load(other, columns)
                    yield (
                        slice(row, row + len(left)),
                        slice(column, column + len(right)),
                        self.kernel(self._distances(left, right)),
                    )
                    bar.update()

    def _load(self, sample: Matrix, rows: slice) -> np.ndarray | torch.Tensor:
        block = dense_rows(sample, rows)
        return block if self.device is None else torch.as_tensor(block, device=self.device)

    def _distances(self, left: Any, right: Any) -> Any:
        if self.device is None:
            return euclidean(left, right)
        return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")


def _exact(blocks: _Blocks, in_first: np.ndarray, n: int, m: int) -> np.ndarray:
    """Statistic of every column of memberships in one pass, ``(1 + n_permutations,)``."""

    def weights(rows: slice) -> np.ndarray | torch.Tensor:
        values = np.where(in_first[rows], 1 / n, -1 / m)
        return values if blocks.device is None else torch.as_tensor(values, device=blocks.device)

    total = np.zeros(in_first.shape[1])
    for rows, columns, block in blocks:
        forms = (weights(rows) * (block @ weights(columns))).sum(0)
        part = forms.cpu().numpy() if isinstance(forms, torch.Tensor) else forms
        total += part if rows.start == columns.start else 2 * part
    return -n * m / (n + m) * total


def _sliced(
    x: Matrix, y: Matrix, in_first: np.ndarray, rng: np.random.Generator, n_directions: int, *, progress: bool
) -> tuple[np.ndarray, float]:
    r"""Energy statistic averaged over lines for every column, and the standard error of the first over lines.

    On a line it is :math:`2 \frac{nm}{n+m} \int (F - G)^2`; the mean over lines of :math:`|u^\top v|` is
    :math:`|v|\, \Gamma(p/2) / (\sqrt\pi\, \Gamma((p+1)/2))`.
    """
    (n, p), m = x.shape, y.shape[0]
    directions = rng.standard_normal((p, n_directions))
    directions /= np.linalg.norm(directions, axis=0)
    constant = 1.0 if p == 1 else float(np.sqrt(np.pi) * np.exp(gammaln((p + 1) / 2) - gammaln(p / 2)))
    values = np.empty((n_directions, in_first.shape[1]))
    passed = np.arange(1, n + m) / m
    for index in tqdm(range(n_directions), desc="Two-sample test", unit="line", delay=2, disable=not progress):
        line = np.concatenate([np.asarray(sample @ directions[:, index]).ravel() for sample in (x, y)])
        order = np.argsort(line, kind="stable")
        gaps = np.diff(line[order])
        for column in range(in_first.shape[1]):
            # F - G with k points of x among the first i is k / n - (i - k) / m.
            difference = np.cumsum(in_first[order, column], dtype=np.float64)[:-1]
            difference *= 1 / n + 1 / m
            difference -= passed
            difference *= difference
            values[index, column] = gaps @ difference
    values *= 2 * constant * n * m / (n + m)
    return values.mean(axis=0), float(values[:, 0].std(ddof=1) / np.sqrt(n_directions))
