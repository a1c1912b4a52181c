"""Word pieces for tests: a small vocabulary from the reviews that come with coursekit, the same every time."""

import re
from collections import Counter
from functools import cache

from coursekit.data.catalogue import entry_of, find
from coursekit.data.wordpieces import SPECIAL, WordPieces

TINY, SIZE = "bert-tiny", 4_000


def tiny_wordpieces() -> WordPieces:
    """The 4,000 word pieces of "bert-tiny", lower case."""
    return WordPieces.of(_pieces(), TINY)


@cache
def _pieces() -> list[str]:
    """Marks and letters, the words that come twice in `reviews_en`, the commonest beginnings and endings of its words."""
    entry = entry_of("reviews_en")
    found = find(entry)
    assert found is not None  # it is embedded
    texts = entry.build(found[1], found[0]).train.texts
    words = Counter(word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower()))
    parts = Counter(
        part for word in words for i in range(2, len(word) - 1) for part in (word[:i], f"##{word[i:]}")
    )
    twice = Counter({word: n for word, n in words.items() if n > 1})
    letters = [chr(i) for i in range(ord("!"), 127) if not chr(i).isupper()]
    pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    for counts in (twice, parts):
        pieces += sorted(counts, key=lambda piece: (-counts[piece], piece))
    return list(dict.fromkeys(pieces))[:SIZE]
