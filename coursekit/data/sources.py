"""What a data set's files are called, how to know them again, and where on the web they are."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteFile:
    """One file: its name, its exact size in bytes and the SHA-256 of its content.

    Attributes:
        name: with the folder it lies in below that of the data set, where there is one ("train/label").
        path: where it lies below a mirror of the data set's own; None: under its name.
    """

    name: str
    size: int
    sha256: str
    path: str | None = None


@dataclass(frozen=True)
class Source:
    """The files of one data set, and the addresses that serve them.

    Attributes:
        folder: where the files lie below a data folder, with forward slashes ("MNIST/raw").
        files: the files.
        mirrors: base addresses, tried in turn after those of `$COURSEKIT_MIRROR`; `mirror + file.path` is a file.
        torchvision: the class of `torchvision.datasets` that fetches them, whose own mirrors come first; then `folder`
            is its folder, `CLASS/raw`. None: the library `datasets` fetches them.
    """

    folder: str
    files: tuple[RemoteFile, ...]
    mirrors: tuple[str, ...] = ()
    torchvision: str | None = None

    @property
    def names(self) -> list[str]:
        """The names of the files."""
        return [file.name for file in self.files]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def addresses(self) -> list[dict[str, str]]:
        """The address of each file by name, once for every mirror, in the order in which they are tried.

        `$COURSEKIT_MIRROR` holds base addresses, separated by commas, of servers laid out like `$COURSEKIT_HOME`.
        """
        own = [base.strip().rstrip("/") for base in os.environ.get("COURSEKIT_MIRROR", "").split(",")]
        urls = [{f.name: f"{base}/{self.folder}/{f.name}" for f in self.files} for base in own if base]
        mirrors = (*self._torchvision_mirrors(), *self.mirrors)
        return urls + [{f.name: mirror + (f.path or f.name) for f in self.files} for mirror in mirrors]

    def _torchvision_mirrors(self) -> list[str]:
        if self.torchvision is None:
            return []
        from torchvision import datasets  # takes seconds to import; only a download needs it

        return list(getattr(datasets, self.torchvision).mirrors)
