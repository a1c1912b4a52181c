"""Where the data lie that come with the project; whoever only asks for the place needs no torch."""

from importlib import resources
from pathlib import Path


def own_data() -> Path:
    """The folder of the project's own data: `data/` of its source, or in the package once that is installed.

    Raises:
        DataError: it is in neither place.
    """
    package = Path(str(resources.files("coursekit")))
    folders = (package / "data" / "embedded", package.parent / "data")
    for folder in folders:
        if (folder / "reviews_en.tsv").is_file():
            return folder
    from coursekit.data.errors import DataError

    raise DataError(
        f"coursekit is installed without its own data, which should lie in {folders[0]}: install it again"
    )
