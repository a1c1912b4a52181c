"""The files of each data set: sizes, hashes, and the addresses that serve them."""

from coursekit.data.sources import RemoteFile, Source


def _github(repository: str, commit: str) -> tuple[str, ...]:
    """Addresses of a repository's files as they were at one commit; the second answers where the first is blocked."""
    return (
        f"https://raw.githubusercontent.com/{repository}/{commit}/",
        f"https://cdn.jsdelivr.net/gh/{repository}@{commit}/",
    )


MNIST = Source(
    folder="MNIST/raw",
    torchvision="MNIST",
    mirrors=("https://storage.googleapis.com/cvdf-datasets/mnist/",),
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
)

FASHION = Source(
    folder="FashionMNIST/raw",
    torchvision="FashionMNIST",
    mirrors=("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",),
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
)

SST2 = Source(
    folder="sst2",
    mirrors=_github("eyalbd2/Reproducing-AutoPrompt", "6288fb5bec9c572f2492875ae0111df5b6daed11"),
    files=(
        RemoteFile(
            "train.tsv",
            3_806_081,
            "48eac26399f8456935f81dd9e3a745c1430adb6c62e233ccfe22db4a0d15d1d1",
            "glue_data/SST-2/train_full.tsv",
        ),
        RemoteFile(
            "dev.tsv",
            94_931,
            "54a9c12c77e402fc14d6a66a506f24d999f596b0176eb777c972cccc2f9cc4b0",
            "glue_data/SST-2/dev.tsv",
        ),
    ),
)

CHNSENTICORP = Source(
    folder="chnsenticorp",
    mirrors=_github("pengming617/bert_classification", "c155e73ee9272aa61589116aebd762204c3e4c83"),
    files=(
        RemoteFile(
            "train.tsv",
            3_019_974,
            "0b2653c23e5c79f539472e90cb10522f0ada4b80d3da95572d8b48fda47d5b33",
            "data/train.tsv",
        ),
        RemoteFile(
            "dev.tsv",
            374_230,
            "d129e443eac08ce7643013dad496a8edf282be39cac1a4f2ad080818b296b331",
            "data/dev.tsv",
        ),
    ),
)

SHAKESPEARE = Source(
    folder="tinyshakespeare",
    mirrors=_github("karpathy/char-rnn", "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e"),
    files=(
        RemoteFile(
            "input.txt",
            1_115_394,
            "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            "data/tinyshakespeare/input.txt",
        ),
    ),
)

NAMES = Source(
    folder="names",
    mirrors=_github("karpathy/makemore", "988aa59e4d8fefa526d06f3b453ad116258398d4"),
    files=(
        RemoteFile("names.txt", 228_145, "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"),
    ),
)

RTE = Source(
    folder="rte",
    mirrors=_github("marcwww/nlu_eval", "ccd55c37de74ebd86c70ae58f67dceb0aa444f43"),
    files=(
        RemoteFile(
            "train.tsv",
            846_227,
            "81d25e323e1ab5b2ad7cd445f1a69db89f2b1c104f3e26915a9421aa4a5f4735",
            "data/RTE/train.tsv",
        ),
        RemoteFile(
            "dev.tsv",
            90_343,
            "80230dfa1347282e7b532b06a1004a76a710087541189bf874223ddf0e3819fb",
            "data/RTE/dev.tsv",
        ),
    ),
)

SNIPS = Source(
    folder="snips",
    mirrors=_github(
        "90217/joint-intent-classification-and-slot-filling-based-on-BERT",
        "ae57fb40721f830ce08d68345f89c3e730dbc379",
    ),
    files=(
        RemoteFile(
            "train/seq.in",
            630_163,
            "688761b5f733ff4e7f548ba406c7108bdd7fdf60497529957c1ecdf45056108c",
            "data/snips/train/seq.in",
        ),
        RemoteFile(
            "train/seq.out",
            964_010,
            "d443c6258396dc413554d522b5d63a6228c6eae533a02363afa07ebe9259401f",
            "data/snips/train/seq.out",
        ),
        RemoteFile(
            "train/label",
            197_616,
            "163df985f8d76147bca16f746ed2c64e979a1be729a8f34fd8c3253b114a934b",
            "data/snips/train/label",
        ),
        RemoteFile(
            "valid/seq.in",
            34_329,
            "c776e1efc2b490911ccea68c12526b5e6890584981b276787830cb42359ad349",
            "data/snips/valid/seq.in",
        ),
        RemoteFile(
            "valid/seq.out",
            51_326,
            "f21dcd5e4ce1592895e38ba1e6d35fea1933b231ca3b1c1aacc18cdbd0898d43",
            "data/snips/valid/seq.out",
        ),
        RemoteFile(
            "valid/label",
            10_600,
            "0ab09adffd74d46c41cfbacd4ffbd15f53acc02b8d759c4a413097f20ea8d3d1",
            "data/snips/valid/label",
        ),
        RemoteFile(
            "test/seq.in",
            33_821,
            "00b111bd03b515901121d49ace206d78ee86d7b917c4c87062eae45bdffdc649",
            "data/snips/test/seq.in",
        ),
        RemoteFile(
            "test/seq.out",
            51_618,
            "a47a02e8f502d3dc47e510eab14b466a8a0263411f706c6b830a24ec579b4fe1",
            "data/snips/test/seq.out",
        ),
        RemoteFile(
            "test/label",
            10_820,
            "6d3c4ab6d64187261464bc770ad276abd6d7003c4393d7cdbb5159a501015ede",
            "data/snips/test/label",
        ),
    ),
)

_XQUAD_MIRRORS = _github("google-deepmind/xquad", "7d30520c717524000f0d9d2f9c10a069acd9d285")

XQUAD_EN = Source(
    folder="xquad",
    mirrors=_XQUAD_MIRRORS,
    files=(
        RemoteFile(
            "xquad.en.json", 609_383, "e4c57d1c9143aaa1c5d265ba5987a65f4e69528d2a98f29d6e75019b10344f29"
        ),
    ),
)

XQUAD_ZH = Source(
    folder="xquad",
    mirrors=_XQUAD_MIRRORS,
    files=(
        RemoteFile(
            "xquad.zh.json", 808_652, "691d0b3359bc6b8faa8de931dfdfe21d50a65861ae348e32a0d1a0190b0c8835"
        ),
    ),
)
