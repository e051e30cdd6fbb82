"""Model classes: register an AnnData, train, read results, save and load."""

from scgauge._core.arguments import check_methods as _check_methods

from ._autoencoder import Autoencoder
from ._bayesian_linearvi import BayesianLinearVI
from ._countvi import CountVI
from ._deep_boltzmann_machine import DeepBoltzmannMachine
from ._linearvi import LinearVI
from ._odevi import ODEVI
from ._supervisedvi import SupervisedVI

__all__ = [
    "ODEVI",
    "Autoencoder",
    "BayesianLinearVI",
    "CountVI",
    "DeepBoltzmannMachine",
    "LinearVI",
    "SupervisedVI",
]

for _model_class in (ODEVI, Autoencoder, BayesianLinearVI, CountVI, DeepBoltzmannMachine, LinearVI, SupervisedVI):
    _check_methods(_model_class)
