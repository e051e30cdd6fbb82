"""Vector fields of the latent dynamics: small interchangeable modules ``forward(t, z, theta)``."""

from ._affine import Affine, DiagonalLinear, Drift, Linear
from ._choose import DYNAMICS, Dynamics, check_field, make_field, theta_names
from ._lotka_volterra import LotkaVolterra
from ._network import LocalLinear, Neural, Potential
from ._parameter_net import ParameterNet

__all__ = [
    "DYNAMICS",
    "Affine",
    "DiagonalLinear",
    "Drift",
    "Dynamics",
    "Linear",
    "LocalLinear",
    "LotkaVolterra",
    "Neural",
    "ParameterNet",
    "Potential",
    "check_field",
    "make_field",
    "theta_names",
]
