"""Public single-cell data sets, simulators with known truth, and cells that stay on disk."""

from scgauge._core.arguments import check_arguments as _check_arguments

from ._blood import covid_balf_liao2020, pbmc_facs, pbmc_scvijl, scgen_kang
from ._knowledge import clinical_dummy_smartcare, dorothea, gene_sets
from ._mhd4_codebook import mhd4_codebook
from ._pbmc68k_counts import pbmc68k_counts
from ._read_backed import read_backed
from ._simulate_binary_blocks import simulate_binary_blocks
from ._simulate_counts import simulate_counts
from ._simulate_longitudinal import simulate_longitudinal
from ._simulate_splat_paths import simulate_splat_paths
from ._simulate_time_series import simulate_time_series
from ._time_series import klein2015_subset, schiebinger_moscot1000, worm_embryo
from ._tissue import baron_cider, hemato_tusi2018, sc_mixology, tasic2016, zeisel2015_descend

__all__ = [
    "baron_cider",
    "clinical_dummy_smartcare",
    "covid_balf_liao2020",
    "dorothea",
    "gene_sets",
    "hemato_tusi2018",
    "klein2015_subset",
    "mhd4_codebook",
    "pbmc68k_counts",
    "pbmc_facs",
    "pbmc_scvijl",
    "read_backed",
    "sc_mixology",
    "scgen_kang",
    "schiebinger_moscot1000",
    "simulate_binary_blocks",
    "simulate_counts",
    "simulate_longitudinal",
    "simulate_splat_paths",
    "simulate_time_series",
    "tasic2016",
    "worm_embryo",
    "zeisel2015_descend",
]

_check_arguments(__name__)
