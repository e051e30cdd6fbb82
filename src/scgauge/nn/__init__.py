"""Layers, likelihoods and vector fields in torch."""

from ._count_log_likelihood import count_log_likelihood
from ._decoder import CountDecoder, DecoderOutput, LogSoftplus
from ._encoder import Encoder
from ._layers import CovariateLinear, FullyConnected
from ._likelihoods import LIKELIHOODS, Bernoulli, CountLikelihood, GeneLikelihood, LikelihoodSpec, likelihood
from ._linear_decoder import LinearDecoder, LinearHead
from ._sparse_rows import SparseRows

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "CountDecoder",
    "CountLikelihood",
    "CovariateLinear",
    "DecoderOutput",
    "Encoder",
    "FullyConnected",
    "GeneLikelihood",
    "LikelihoodSpec",
    "LinearDecoder",
    "LinearHead",
    "LogSoftplus",
    "SparseRows",
    "count_log_likelihood",
    "likelihood",
]
