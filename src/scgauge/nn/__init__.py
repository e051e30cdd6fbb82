"""Layers, likelihoods and vector fields in torch."""

from ._decoder import CountDecoder, DecoderOutput
from ._encoder import Encoder
from ._layers import CovariateLinear, FullyConnected
from ._likelihoods import LIKELIHOODS, Bernoulli, GeneLikelihood, LikelihoodSpec, likelihood
from ._matching import MATCHINGS, Matching, MatchingName, make_matching
from ._solve import affine_flow, solve, solve_path, step_error

__all__ = [
    "LIKELIHOODS",
    "MATCHINGS",
    "Bernoulli",
    "CountDecoder",
    "CovariateLinear",
    "DecoderOutput",
    "Encoder",
    "FullyConnected",
    "GeneLikelihood",
    "LikelihoodSpec",
    "Matching",
    "MatchingName",
    "affine_flow",
    "likelihood",
    "make_matching",
    "solve",
    "solve_path",
    "step_error",
]
