"""The only file that spells the names which scgauge writes into an AnnData."""

from __future__ import annotations

#: ``uns`` key under which simulators leave the truth behind the data.
TRUTH = "scgauge_truth"
#: ``uns`` key of the licence, citation and source of a public data set.
DATASET = "scgauge_dataset"
#: ``obs`` columns and ``obsm`` keys of synthetic cells.
SOURCE_CELL = "source_cell"
LIBRARY = "library_size"
LATENT = "X_latent"
SAMPLE = "sample"
#: Latent points of cells of a time series, and their velocities.
X_ODEVAE = "X_odevae"
#: Group of a predicted cell, of a model with several dynamics.
ODEVAE_GROUP = "odevae_group"
#: Default ``key_added`` of each writing function, ``<function name>`` unless scanpy has a convention of its own.
LATENT_DISTANCES = "latent_distances"
GENE_SETS = "gene_sets"
GENE_EMBEDDING = "gene_embedding"
LOADINGS = "loadings"
EMBEDDING_QUALITY = "embedding_quality"
EMBED = "embed"
TRANSFORM_LATENT = "transform_latent"
TRANSFORMATION_RECOVERY = "transformation_recovery"
COMPARE_EMBEDDINGS = "compare_embeddings"
EMBEDDING_STABILITY = "embedding_stability"
EMBEDDING_DISTORTION = "embedding_distortion"
LOG_ODDS = "log_odds"
SYNTHETIC_QUALITY = "synthetic_quality"
MEMORIZATION = "memorization"
PRIOR_GAP = "prior_gap"
HELD_OUT_TIME = "held_out_time"
TRAJECTORY = "trajectory"
VELOCITY = "velocity"
PCA_SGD = "pca_sgd"
SIGNATURES = "signatures"
SIGNATURE_ACTIVITY = "signature_activity"
#: What a page about a model writes into the cells it hands back: latent points, their UMAP, and how they were made.
X_SCGAUGE = "X_scgauge"
X_SCGAUGE_UMAP = "X_scgauge_umap"
DEMO = "scgauge_demo"
#: Explanations.
IG = "ig"
ATTRIBUTION_BY_GROUP = "attribution_by_group"
COMPARE_ATTRIBUTIONS = "compare_attributions"
DREAM = "dream"
PATTERN = "pattern"
#: Uses of a model.
IMPUTED = "imputed"
LATENT_ARITHMETIC = "latent_arithmetic"
#: Checks of the data before any model.
SPURIOUS_CORRELATION = "spurious_correlation"
#: Barcodes of imaging.
BARCODES = "barcodes"
