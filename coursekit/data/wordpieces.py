"""Word pieces, as BERT reads a text: read from a model's own files with the library `tokenizers`, never the network."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coursekit.data.errors import DataError

if TYPE_CHECKING:
    import tokenizers

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
REMEMBERED = 200_000  # words whose pieces are kept

# Half a character, which is no text that could be written to a file.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

# The library cuts in parallel, and says so on stderr when a process that did so was forked and does it again.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: os.environ.setdefault("TOKENIZERS_PARALLELISM", "false"))


class WordPieces:
    """A vocabulary of word pieces: what is no word of it is cut into the longest pieces there are, "##" within a word.

    (Wu et al. 2016, "Google's neural machine translation system", section 4.1; Devlin et al. 2019, "BERT: pre-training of
    deep bidirectional transformers", section 3.) It takes any text, also an empty one. A special token written out in a
    text is that token: "a [MASK] film".

    Args:
        backend: the object of the library `tokenizers` that cuts. Its word pieces must include the five special tokens.
        name: of the model they belong to.

    Raises:
        DataError: these are no word pieces, or a special token is missing.

    Attributes:
        pad, unk, cls, sep, mask: ids of the special tokens.
    """

    def __init__(self, backend: "tokenizers.Tokenizer", name: str) -> None:
        from tokenizers import processors

        kind = type(backend.model).__name__
        if kind != "WordPiece":
            raise DataError(f"{name} reads text by {kind}, not by word pieces; take a BERT or a DistilBERT")
        ids = {token: i for token in SPECIAL if (i := backend.token_to_id(token)) is not None}
        lacking = [token for token in SPECIAL if token not in ids]
        if lacking:
            raise DataError(
                f"the vocabulary of {name} has no {', '.join(lacking)}; a BERT's has {', '.join(SPECIAL)}"
            )
        self.name = name
        self.pad, self.unk, self.cls, self.sep, self.mask = ids.values()
        backend.no_truncation()  # a file may ask for 128 ids a text, no more and no less
        backend.no_padding()
        backend.post_processor = processors.BertProcessing(("[SEP]", self.sep), ("[CLS]", self.cls))
        self._backend = backend
        self._known: dict[str, list[int]] = {}

    @classmethod
    def of(cls, vocabulary: Sequence[str], name: str, *, lowercase: bool = True) -> "WordPieces":
        """From the pieces in the order of their ids, "##" before those that begin within a word."""
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

        ids = {piece: i for i, piece in enumerate(vocabulary)}
        backend = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
        backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece()
        backend.add_special_tokens([token for token in SPECIAL if token in ids])
        return cls(backend, name)

    @classmethod
    def read(cls, folder: str | Path, name: str | None = None) -> "WordPieces":
        """From a model's folder: `tokenizer.json` or `vocab.txt`, and what `tokenizer_config.json` says of upper case.

        Raises:
            DataError: neither file is there, or one is damaged, or they are no word pieces.
        """
        from tokenizers import Tokenizer, normalizers

        folder = Path(folder)
        name = name or folder.name
        path = next((folder / n for n in ("tokenizer.json", "vocab.txt") if (folder / n).is_file()), None)
        if path is None:
            raise DataError(
                f"{folder} has neither tokenizer.json nor vocab.txt: one of them holds the word pieces"
            )
        settings = folder / "tokenizer_config.json"
        config: dict[str, Any] = {}
        try:
            if path.suffix == ".json":
                backend = Tokenizer.from_file(str(path))
            else:
                backend = cls.of(
                    path.read_text(encoding="utf-8").removesuffix("\n").split("\n"), name
                )._backend
            if settings.is_file():
                path = settings
                config = json.loads(settings.read_text(encoding="utf-8"))
        except DataError:
            raise
        except Exception as error:  # the library raises nothing narrower
            raise DataError(f"{path} is damaged ({error}); get it again") from error
        normalizer = backend.normalizer
        for option, key in (
            ("lowercase", "do_lower_case"),
            ("strip_accents", "strip_accents"),
            ("handle_chinese_chars", "tokenize_chinese_chars"),
        ):
            if key in config and isinstance(normalizer, normalizers.BertNormalizer):
                setattr(normalizer, option, config[key])
        return cls(backend, name)

    def __len__(self) -> int:
        return self._backend.get_vocab_size()

    def tokenize(self, text: str) -> list[str]:
        """The pieces of `text`, without `[CLS]` and `[SEP]`.

        >>> wordpieces.tokenize("It isn't unwatchable.")
        ['it', 'isn', "'", 't', 'un', '##watch', '##able', '.']
        """
        return self.tokens(next(self._ids([text])))

    def encode(self, text: str, max_length: int | None = None) -> list[int]:
        """The ids of `[CLS] text [SEP]`; a longer text is cut off before `[SEP]`, so that there are `max_length` ids.

        Raises:
            ValueError: `max_length` is below 2.
        """
        return self.encode_batch([text], max_length)[0]

    def encode_batch(self, texts: Sequence[str], max_length: int | None = None) -> list[list[int]]:
        """As `encode`, of many texts; a word that comes again is cut once."""
        room = _room(max_length, 2)
        return [[self.cls, *ids[:room], self.sep] for ids in self._ids(texts)]

    def encode_pair(self, a: str, b: str, max_length: int | None = None) -> tuple[list[int], list[int]]:
        """The ids of `[CLS] a [SEP] b [SEP]`, and the segment of each: 0 up to the first `[SEP]`, then 1.

        What is too long is cut off from the longer of the two texts, until both have the same length; then from both.

        Raises:
            ValueError: `max_length` is below 3.
        """
        room = _room(max_length, 3)
        first, second = self._ids([a, b])
        if room is not None and len(first) + len(second) > room:
            half = room // 2
            if len(first) <= half:
                second = second[: room - len(first)]
            elif len(second) <= half:
                first = first[: room - len(second)]
            else:  # the longer text gets the odd one
                odd = room % 2 if len(first) > len(second) else 0
                first, second = first[: half + odd], second[: room - half - odd]
        segments = [0] * (len(first) + 2) + [1] * (len(second) + 1)
        return [self.cls, *first, self.sep, *second, self.sep], segments

    def offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of the pieces of `text` without `[CLS]` and `[SEP]`, and which characters each is: `text[start:end]`."""
        encoding = self._backend.encode(_clean(text), add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The piece of each id.

        Raises:
            ValueError: there is no such id.
        """
        pieces = []
        for i in map(int, ids):
            piece = self._backend.id_to_token(i) if i >= 0 else None
            if piece is None:
                raise ValueError(
                    f"there is no piece with the id {i}: the vocabulary has {len(self):,}, from 0"
                )
            pieces.append(piece)
        return pieces

    def decode(self, ids: Iterable[int]) -> str:
        """Readable text from ids, without `[CLS]`, `[SEP]` and padding; upper case and blanks may be lost.

        Raises:
            ValueError: there is no such id.
        """
        kept = [i for i in map(int, ids) if i not in (self.pad, self.cls, self.sep)]
        self.tokens(kept)  # the library would leave out what it does not know
        return self._backend.decode(kept, skip_special_tokens=False)

    @cached_property
    def tokenizer(self) -> Any:
        """The same word pieces as a fast tokenizer of `transformers`, which is imported for it."""
        from tokenizers import Tokenizer
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(self._backend.to_str()),  # it may be given limits of its own
            model_input_names=["input_ids", "token_type_ids", "attention_mask"],
            model_max_length=512,
            **{f"{token[1:-1].lower()}_token": token for token in SPECIAL},
        )

    def _ids(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """The ids of the pieces of each text. No piece spans a blank, so the words between blanks are cut, each once."""
        if isinstance(texts, str):
            raise TypeError("texts must be a list of texts, this is one text: pass [text]")
        known = self._known = self._known if len(self._known) < REMEMBERED else {}
        rows = [_clean(text).split(" ") for text in texts]
        new = [word for word in dict.fromkeys(chain.from_iterable(rows)) if word not in known]
        encodings = self._backend.encode_batch_fast(new, add_special_tokens=False)
        known.update(zip(new, (encoding.ids for encoding in encodings), strict=True))
        return ([i for word in row for i in known[word]] for row in rows)

    def __repr__(self) -> str:
        return f"WordPieces({len(self):,} pieces of {self.name})"


def _clean(text: str) -> str:
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def _room(max_length: int | None, special: int) -> int | None:
    """How many pieces fit beside the special tokens."""
    if max_length is not None and max_length < special:
        raise ValueError(f"max_length is {max_length}; the special tokens alone are {special} ids")
    return None if max_length is None else max_length - special
