"""Keys of the data registry, and of minibatches, that only time series have."""

from __future__ import annotations

TIME_KEY, BASELINE_KEY = "time", "baseline"
#: Number of the subject of a visit, and its weight in the loss.
SUBJECT_KEY, WEIGHT_KEY = "subject", "weight"
#: Net growth rate of a cell, per unit of the user's time.
GROWTH_KEY = "growth"
#: Number of the instrument of an observation, and the row of its visit in the minibatch.
INSTRUMENT_KEY, VISIT_KEY = "instrument", "visit"
