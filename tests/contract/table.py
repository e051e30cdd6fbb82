"""All calls of the contract tests, joined from the files of their subjects."""

from __future__ import annotations

from contract import autoencoder_calls, calls, data_calls, embedding_calls, explain_calls, stream_calls, time_calls

CALLS = (
    autoencoder_calls.CALLS
    | calls.CALLS
    | data_calls.CALLS
    | embedding_calls.CALLS
    | explain_calls.CALLS
    | stream_calls.CALLS
    | time_calls.CALLS
)
LOADERS = calls.LOADERS
