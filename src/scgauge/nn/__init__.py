"""Layers, likelihoods and vector fields in torch."""

from ._count_log_likelihood import count_log_likelihood
from ._decoder import CountDecoder, DecoderOutput, LogSoftplus
from ._dense_log_likelihood import dense_log_likelihood
from ._encoder import Encoder
from ._group_mixture import GroupMixture
from ._instruments import InstrumentDecoder, InstrumentEncoder, misalignment
from ._jacobian import hutchinson_jacobian_norm, layer_jacobian_norm
from ._layer_stack import ACTIVATIONS, ActivationName, LayerStack, TiedStack, weight_of
from ._layers import CovariateLinear, FullyConnected
from ._likelihoods import LIKELIHOODS, Bernoulli, CountLikelihood, GeneLikelihood, LikelihoodSpec, likelihood
from ._linear_decoder import LinearDecoder, LinearHead
from ._matching import MATCHINGS, Matching, MatchingName, growth_weight, make_matching
from ._predicted_linear import PredictedLinear
from ._smoothing import States, carry, combine, pairs_within
from ._solve import affine_flow, affine_map, kinetic_energy, solve, solve_path, step_error
from ._sparse_rows import SparseRows
from ._to_device import to_device

__all__ = [
    "ACTIVATIONS",
    "LIKELIHOODS",
    "MATCHINGS",
    "ActivationName",
    "Bernoulli",
    "CountDecoder",
    "CountLikelihood",
    "CovariateLinear",
    "DecoderOutput",
    "Encoder",
    "FullyConnected",
    "GeneLikelihood",
    "GroupMixture",
    "InstrumentDecoder",
    "InstrumentEncoder",
    "LayerStack",
    "LikelihoodSpec",
    "LinearDecoder",
    "LinearHead",
    "LogSoftplus",
    "Matching",
    "MatchingName",
    "PredictedLinear",
    "SparseRows",
    "States",
    "TiedStack",
    "affine_flow",
    "affine_map",
    "carry",
    "combine",
    "count_log_likelihood",
    "dense_log_likelihood",
    "growth_weight",
    "hutchinson_jacobian_norm",
    "kinetic_energy",
    "layer_jacobian_norm",
    "likelihood",
    "make_matching",
    "misalignment",
    "pairs_within",
    "solve",
    "solve_path",
    "step_error",
    "to_device",
    "weight_of",
]
