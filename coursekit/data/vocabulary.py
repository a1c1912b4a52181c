"""From text to token ids and back: words or characters, English and Chinese."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

Level = Literal["word", "char"]

PAD, UNKNOWN = "<pad>", "<unk>"

# A run of letters and digits (with an apostrophe inside: don't), a single Chinese or Japanese character, or any other mark.
_CJK = "㐀-䶿一-鿿豈-﫿぀-ヿ\U00020000-\U0003ffff"
_WORD = re.compile(rf"[^\W_{_CJK}]+(?:['’][^\W_{_CJK}]+)*|[{_CJK}]|[^\w\s]|_")


def tokenize(text: str, level: Level = "word") -> list[str]:
    """The tokens of `text`.

    "word": words in lower case, each Chinese character a token, each punctuation mark a token. "char": its characters.

    >>> tokenize("It isn't bad, 真不错！")
    ['it', "isn't", 'bad', ',', '真', '不', '错', '！']
    """
    if level == "word":
        return _WORD.findall(text.lower())
    if level == "char":
        return list(text)
    raise ValueError(f'level must be "word" or "char", got {level!r}')


class Vocabulary:
    """The tokens that have an id of their own; id 0 fills up short sequences, id 1 stands for every other token.

    Called with a batch of the library `datasets`, it gives the ids: `data.map(vocabulary, batched=True)`.

    Args:
        tokens: in the order of their ids, which begin at 2.
        level: how text becomes tokens, "word" or "char".
    """

    pad, unk = 0, 1

    def __init__(self, tokens: Sequence[str], level: Level = "word") -> None:
        tokenize("", level)  # says what a level may be
        self.level = level
        self.tokens = [PAD, UNKNOWN, *tokens]
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) < len(self.tokens):
            twice = next(token for token, n in Counter(self.tokens).items() if n > 1)
            raise ValueError(f"the token {twice!r} is in the list twice; each needs one id")

    @classmethod
    def build(
        cls, texts: Iterable[str], level: Level = "word", min_count: int = 1, max_size: int | None = None
    ) -> "Vocabulary":
        """The tokens of `texts`, the most frequent first (those that are equally frequent in alphabetical order).

        Args:
            texts: what the model will learn from: the training texts, never the others.
            level: "word" or "char".
            min_count: a token that occurs less often gets no id.
            max_size: how many ids there may be in all.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be a list of texts, this is one text: pass [text]")
        counts = Counter(token for text in texts for token in tokenize(text, level))
        frequent = sorted(
            (token for token, n in counts.items() if n >= min_count and token not in (PAD, UNKNOWN)),
            key=lambda token: (-counts[token], token),
        )
        return cls(frequent if max_size is None else frequent[: max(0, max_size - 2)], level)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def tokenize(self, text: str) -> list[str]:
        """The tokens of `text`."""
        return tokenize(text, self.level)

    def encode(self, text: str) -> list[int]:
        """The ids of the tokens of `text`."""
        return [self._ids.get(token, self.unk) for token in self.tokenize(text)]

    def encode_batch(self, texts: Iterable[str], max_length: int | None = None) -> list[list[int]]:
        """As `encode`, of many texts, each cut off after `max_length` tokens; one without any token is one unknown token."""
        return [self.encode(text)[:max_length] or [self.unk] for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """Readable text from ids; padding is left out. Words have spaces between them, Chinese has not."""
        kept = []
        for i in map(int, ids):
            if not 0 <= i < len(self):
                raise ValueError(
                    f"there is no token with the id {i}: the vocabulary has {len(self):,}, from 0"
                )
            if i != self.pad:
                kept.append(self.tokens[i])
        if self.level == "char":
            return "".join(kept)
        text = " ".join(kept)
        text = re.sub(rf"(?<=[{_CJK}，。！？；：、…]) | (?=[{_CJK}，。！？；：、…])", "", text)
        return re.sub(r" (?=[,.!?;:%)])", "", text)

    def __call__(self, batch: Mapping[str, Any], column: str = "text") -> dict[str, list[list[int]]]:
        """The ids of each text in a batch of the library `datasets`, as a column "ids"."""
        return {"ids": [self.encode(text) for text in batch[column]]}

    def __repr__(self) -> str:
        few = ", ".join(map(repr, self.tokens[2:7]))
        return f"Vocabulary({len(self):,} {'characters' if self.level == 'char' else 'words'}: {few}, ...)"
