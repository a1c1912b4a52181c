"""The bag of words: which words a text has, and how often, but not in which order."""

from torch import Tensor, nn

from coursekit.models.pooling import check_lengths, check_tokens, pool, sequence_batch
from coursekit.models.registry import register


@register("bow", example_batch=sequence_batch)
class BagOfWords(nn.Module):
    """Bag of words, the mean of the embeddings and one linear layer (Joulin et al. 2017, "Bag of tricks for efficient text classification").

    The baseline that cannot see order: two texts with the same words get the same logits.

    Args:
        vocab_size: number of tokens.
        num_classes: number of logits that come out.
        embedding_dim: numbers that stand for a token.
        dropout: share of the mean embedding set to zero in training.
    """

    def __init__(
        self, vocab_size: int = 1000, num_classes: int = 2, embedding_dim: int = 100, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding_dim, num_classes)

    def forward(self, X: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Token ids (B, T) to logits (B, num_classes).

        Args:
            X: the texts; what stands at padded steps has no influence.
            lengths: number of real tokens of each (B,) int64; None: all T are real.
        """
        check_tokens(X, self.vocab_size)
        lengths = check_lengths(lengths, X)
        mean = pool(self.embedding(X), lengths, "mean")  # (B, T, D) -> (B, D)
        return self.head(self.dropout(mean))  # (B, num_classes)
