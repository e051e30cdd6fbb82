"""Several measuring instruments of one latent state: an encoder and a decoder each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.distributions import Normal

from scgauge.nn._decoder import DecoderOutput
from scgauge.nn._smoothing import States, combine, pairs_within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


def columns_of(instruments: Sequence[int]) -> list[Tensor]:
    """Return the columns of each instrument, given the number of the instrument of each item, ``(n_items,)``."""
    numbers = torch.as_tensor(instruments)
    return [(numbers == index).nonzero()[:, 0] for index in range(int(numbers.max()) + 1)]


class InstrumentEncoder(nn.Module):
    """Encoders of several instruments; what they say of a visit is combined by inverse variance.

    Parameters
    ----------
    instruments
        Number of the instrument of each item, ``(n_items,)``.
    make
        Returns an encoder of a number of items.
    """

    instrument: Tensor

    def __init__(self, instruments: Sequence[int], make: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.register_buffer("instrument", torch.as_tensor(instruments), persistent=False)
        columns = columns_of(instruments)
        self.n_instruments = len(columns)
        self.encoders = nn.ModuleList(make(len(mine)) for mine in columns)

    def taken(self, x: Tensor) -> Tensor:
        """Return which instruments were taken (not all of their items are NaN), ``(n_visits, n_instruments)``."""
        measured = ~x[:, : len(self.instrument)].isnan()
        return torch.stack([measured[:, self.instrument == index].any(1) for index in range(self.n_instruments)], 1)

    def forward(self, x: Tensor, codes: Sequence[Tensor] = ()) -> Normal:
        """Return the Gaussian of each visit, ``(n_visits, n_latent)``.

        Items that are missing of an instrument that was taken count as 0, the average; what follows the items is read
        by all encoders.
        """
        items, further = x[:, : len(self.instrument)], x[:, len(self.instrument) :]
        mean, variance, rows = [], [], []
        for index, taken in enumerate(self.taken(items).unbind(1)):
            here = taken.nonzero()[:, 0]
            if not len(here):
                continue
            mine = items[here][:, self.instrument == index].nan_to_num(0.0)
            found = self.encoders[index](torch.cat((mine, further[here]), 1), [code[here] for code in codes])
            mean.append(found.loc)
            variance.append(found.scale.square())
            rows.append(here)
        states = combine(States(torch.cat(mean), torch.cat(variance)), torch.cat(rows), len(x))
        return Normal(states.mean, states.variance.sqrt(), validate_args=False)


class InstrumentDecoder(nn.Module):
    """Decoders of several instruments, which read one latent point.

    Parameters
    ----------
    instruments
        Number of the instrument of each item, ``(n_items,)``.
    make
        Returns a decoder of a number of items.
    """

    order: Tensor

    def __init__(self, instruments: Sequence[int], make: Callable[[int], nn.Module]) -> None:
        super().__init__()
        columns = columns_of(instruments)
        self.decoders = nn.ModuleList(make(len(mine)) for mine in columns)
        self.register_buffer("order", torch.cat(columns).argsort(), persistent=False)

    def forward(self, z: Tensor, codes: Any = ()) -> DecoderOutput:
        """Decode latent points ``(..., n, n_in)`` to the items of all instruments, ``(..., n, n_items)``."""
        found = [decoder(z, codes) for decoder in self.decoders]

        def joined(head: str) -> Any:
            parts = [getattr(part, head) for part in found]
            return None if parts[0] is None else torch.cat(parts, -1)[..., self.order]

        return DecoderOutput(*(joined(head) for head in DecoderOutput._fields))


def misalignment(residual: Tensor, subject: Tensor, instrument: Tensor, weight: Tensor) -> Tensor:
    r"""Squared distance between what the instruments say of an individual, beside the state that all of them give.

    With the residuals :math:`r` of the codes (the state of the individual, from its other codes, minus the code), for
    each individual :math:`i` and each pair of instruments that it has taken,

    .. math::

        \left\| \overline{r}_{i1} - \overline{r}_{i2} \right\|^2 ,

    averaged with the summed weights of the codes :cite:p:`Hackenberg25b`.

    Parameters
    ----------
    residual
        Residuals of codes, ``(n, n_latent)``.
    subject, instrument
        Numbers of their individuals and instruments, ``(n,)`` integers.
    weight
        Their weights, ``(n,)``.
    """
    if not len(residual):
        return residual.new_zeros(())
    key, part = torch.stack((subject.long(), instrument), 1).unique(dim=0, return_inverse=True)
    n_codes = torch.zeros_like(weight[: len(key)]).index_add(0, part, torch.ones_like(weight))
    total = torch.zeros_like(weight[: len(key)]).index_add(0, part, weight)
    mean = torch.zeros_like(residual[: len(key)]).index_add(0, part, residual) / n_codes[:, None]
    one, other = pairs_within(key[:, 0], key[:, 0], without_own=True)
    if not len(one):
        return residual.new_zeros(())
    both = total[one] + total[other]
    return (both * (mean[one] - mean[other]).square().sum(-1)).sum() / both.sum().clamp(min=1e-8)
