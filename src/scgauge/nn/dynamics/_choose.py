from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import nn

from scgauge.nn.dynamics._affine import Affine, DiagonalLinear, Drift, Linear
from scgauge.nn.dynamics._lotka_volterra import LotkaVolterra
from scgauge.nn.dynamics._network import LocalLinear, Neural, Potential

Dynamics = Literal["drift", "linear_diag", "linear", "affine", "lotka_volterra", "local_linear", "neural", "potential"]
DYNAMICS: tuple[str, ...] = get_args(Dynamics)

_AFFINE = {"drift": Drift, "linear_diag": DiagonalLinear, "linear": Linear, "affine": Affine}
_LEARNED = {"local_linear": LocalLinear, "neural": Neural, "potential": Potential}


def make_field(name: str, n_latent: int, *, n_context: int = 0, **options: Any) -> nn.Module:
    """Build a vector field by name.

    Parameters
    ----------
    name
        One of `DYNAMICS`.
    n_latent
        Dimension of the state.
    n_context
        For learned fields, the number of parameters of a group or individual that the network sees.
    **options
        Passed to the class of the field, for example ``stable=True`` or ``n_hidden=32``.

    Raises
    ------
    ValueError
        If the name is not known, or the field has no such option.
    """
    if name not in DYNAMICS:
        message = f"dynamics={name!r} was given; choose from {list(DYNAMICS)} or pass an nn.Module."
        raise ValueError(message)
    try:
        if name in _LEARNED:
            return _LEARNED[name](n_latent, n_context=n_context, **options)
        return (_AFFINE | {"lotka_volterra": LotkaVolterra})[name](n_latent, **options)
    except TypeError as error:
        message = f"dynamics_kwargs={options!r} do not fit dynamics={name!r}: {error}."
        raise ValueError(message) from error


def theta_names(field: Any) -> list[str]:
    """Return the names of the parameters of a field: its own, or ``theta1``, ``theta2``, ..."""
    n_theta = int(field.n_theta)
    names = getattr(field, "theta_names", None)
    return [str(name) for name in names] if names is not None else [f"theta{index + 1}" for index in range(n_theta)]


def check_field(field: Any, n_latent: int) -> None:
    """Check a field of the user by calling it once.

    Parameters
    ----------
    field
        Module with ``forward(t, z, theta)`` and ``n_theta``.
    n_latent
        Dimension of the state.

    Raises
    ------
    TypeError
        If it is not a module or has no ``n_theta``.
    ValueError
        If it returns something else than one derivative for each state.
    """
    if not isinstance(field, nn.Module):
        message = f"dynamics is {type(field).__name__}; choose from {list(DYNAMICS)} or pass an nn.Module."
        raise TypeError(message)
    n_theta = getattr(field, "n_theta", None)
    if not isinstance(n_theta, int) or n_theta < 0:
        message = f"The field {type(field).__name__} needs an attribute n_theta, an integer from 0; found {n_theta!r}."
        raise TypeError(message)
    if len(theta_names(field)) != n_theta:
        message = f"The field {type(field).__name__} has n_theta={n_theta} but theta_names={theta_names(field)}."
        raise ValueError(message)
    with torch.no_grad():
        out = field(torch.zeros(3, 1), torch.zeros(3, n_latent), torch.zeros(3, n_theta))
    if tuple(out.shape) != (3, n_latent):
        message = f"The field {type(field).__name__} returned the shape {tuple(out.shape)} for 3 states of {n_latent}."
        raise ValueError(message)
