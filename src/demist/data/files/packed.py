"""Whether a folder holds its data in archives or in files."""

from contextlib import suppress

from demist.data.files.folder import Folder
from demist.data.files.shards import Shards
from demist.data.files.tree import Tree
from demist.data.files.zips import Zips
from demist.data.images.aside import is_image
from demist.errors import DataError

_DATA = (".npy", ".npz", ".parquet", ".arrow", "-ubyte", "-ubyte.gz")


def packed_in(folder: Folder) -> Tree | None:
    """The archives of a folder as one tree, if more images lie in them than beside them.

    Plain tar archives count before zip archives, and those only where no other data lies.

    Raises:
        DataError: An archive is damaged, and there is nothing else.
    """
    stray = sum(map(is_image, folder.names))
    for ending, kind in ((".tar", Shards), (".zip", Zips)):
        inside = [name for name in folder.names if name.lower().endswith(ending)]
        beside = [name for name in folder.names if not name.lower().endswith(ending)]
        if not inside or (ending == ".zip" and any(n.lower().endswith(_DATA) for n in beside)):
            continue
        tree: Tree | None = None
        if stray:
            with suppress(DataError):
                tree = kind.scan(folder.path, inside, beside)
        else:
            tree = kind.scan(folder.path, inside, beside)
        if tree is not None and (not stray or sum(map(is_image, tree.names)) > stray):
            return tree
    return None
