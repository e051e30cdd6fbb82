"""Layers, likelihoods and vector fields in torch."""

from ._decoder import CountDecoder, DecoderOutput
from ._encoder import Encoder
from ._layers import CovariateLinear, FullyConnected
from ._likelihoods import LIKELIHOODS, Bernoulli, GeneLikelihood, LikelihoodSpec, likelihood

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "CountDecoder",
    "CovariateLinear",
    "DecoderOutput",
    "Encoder",
    "FullyConnected",
    "GeneLikelihood",
    "LikelihoodSpec",
    "likelihood",
]
