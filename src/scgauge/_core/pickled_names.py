"""What reading a file of torch would look up, found without reading it."""

from __future__ import annotations

import pickletools
import re
import zipfile
from typing import TYPE_CHECKING

from scgauge._core.checksums import BROKEN

if TYPE_CHECKING:
    from pathlib import Path

#: What models of scvi-tools and of scgauge hold: tensors, arrays, tables and plain data. Nothing else belongs here:
#: whoever writes a file chooses the arguments of these.
_PLAIN = {
    "__builtin__": "bytearray bytes complex dict frozenset list set slice tuple",
    "_codecs": "encode",
    "collections": "OrderedDict defaultdict",
    "numpy": "dtype ndarray",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "pandas": "CategoricalDtype CategoricalIndex DataFrame Index RangeIndex Series StringDtype",
    "pandas._libs.arrays": "__pyx_unpickle_NDArrayBacked",
    "pandas._libs.internals": "_unpickle_block",
    "pandas.arrays": "ArrowStringArray Categorical StringArray",
    "pandas.core.arrays.categorical": "Categorical",
    "pandas.core.dtypes.dtypes": "CategoricalDtype",
    "pandas.core.frame": "DataFrame",
    "pandas.core.indexes.base": "Index _new_Index",
    "pandas.core.indexes.category": "CategoricalIndex",
    "pandas.core.indexes.range": "RangeIndex",
    "pandas.core.internals.managers": "BlockManager SingleBlockManager",
    "pandas.core.series": "Series",
    "pyarrow.lib": "_restore_array py_buffer type_for_alias",
    "torch": "Size device",
    "torch._utils": "_rebuild_parameter _rebuild_tensor_v2",
}
_PLAIN_NAMES = {f"{module}.{name}" for module, names in _PLAIN.items() for name in names.split()}
#: How torch spells the type of a tensor.
_TENSOR_TYPE = re.compile(r"torch\.(\w+Storage|bool|b?float\d+|u?int\d+)")
#: Ways to look up a name that is not spelled out, of which torch takes none.
_COMPUTED = {"STACK_GLOBAL", "EXT1", "EXT2", "EXT4"}


def foreign_names(path: Path) -> set[str]:
    """Return the classes and functions that reading a saved model would look up and that no such model holds.

    Parameters
    ----------
    path
        File that torch has written.

    Raises
    ------
    ValueError
        If the file is damaged or not an archive of torch with one pickle.
    """
    try:
        # By these bytes torch tells an archive from a bare pickle; zipfile would find an archive behind one.
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                message = "no archive of torch"
                raise ValueError(message)
        with zipfile.ZipFile(path) as archive:
            (pickle,) = (entry for entry in archive.infolist() if entry.filename.lower().endswith(".pkl"))
            operations = list(pickletools.genops(archive.read(pickle)))
    except BROKEN as error:
        message = f"{path} is damaged or no saved model ({str(error)[:80]}). Save it again."
        raise ValueError(message) from error
    spelled = (str(argument) for operation, argument, _ in operations if operation.name in ("GLOBAL", "INST"))
    names = {argument.replace(" ", ".") for argument in spelled}
    names |= {f"a name by {operation.name}" for operation, _, _ in operations if operation.name in _COMPUTED}
    return {name for name in names - _PLAIN_NAMES if not _TENSOR_TYPE.fullmatch(name)}
