"""The BERT encoder: equal to the one of transformers, blind to padding, and what wrong input says."""

import subprocess
import sys

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bert import CONFIG, LENGTHS, T, V, batch, bert_of_transformers, lively, mask, ours_like
from torch import Tensor, nn

from coursekit.models import Bert, BertConfig, from_transformers, load_encoder
from coursekit.models.bert_transformers import TransformersEncoder


@pytest.mark.parametrize("with_segments", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@torch.no_grad()
def test_equals_transformers(with_segments: bool, lengths: Tensor | None) -> None:
    theirs = bert_of_transformers()
    ours = ours_like(theirs)
    X, segments = batch()
    segments = segments if with_segments else None
    everything = torch.full((4,), T) if lengths is None else lengths
    expected = theirs(
        input_ids=X,
        attention_mask=mask(everything),
        token_type_ids=segments,
        output_hidden_states=True,
        output_attentions=True,
    )
    real = mask(everything).bool()
    hidden, pooled = ours(X, lengths, segments)
    torch.testing.assert_close(hidden[real], expected.last_hidden_state[real], atol=1e-5, rtol=0)
    torch.testing.assert_close(pooled, expected.pooler_output, atol=1e-5, rtol=0)
    states = ours.hidden_states(X, lengths, segments)
    assert len(states) == len(expected.hidden_states) == 4
    for a, b in zip(states, expected.hidden_states, strict=True):
        torch.testing.assert_close(a[real], b[real], atol=1e-5, rtol=0)
    weights = ours.attention(X, lengths, segments)
    assert len(weights) == len(expected.attentions) == 3
    for a, b in zip(weights, expected.attentions, strict=True):
        assert a.shape == (4, 4, T, T)
        torch.testing.assert_close(a.transpose(1, 2)[real], b.transpose(1, 2)[real], atol=1e-5, rtol=0)


def test_gradients_equal_those_of_transformers() -> None:
    theirs = bert_of_transformers()
    ours = ours_like(theirs)
    X, segments = batch()
    ours(X, LENGTHS, segments).pooled.pow(2).sum().backward()
    theirs(input_ids=X, attention_mask=mask(LENGTHS), token_type_ids=segments).pooler_output.pow(
        2
    ).sum().backward()
    expected = from_transformers({name: p.grad for name, p in theirs.named_parameters()})
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-5, rtol=1e-4, msg=name)


@torch.no_grad()
def test_equals_distilbert() -> None:
    config = transformers.DistilBertConfig(
        vocab_size=V, dim=24, n_layers=3, n_heads=4, hidden_dim=40, max_position_embeddings=30
    )
    theirs = lively(transformers.DistilBertModel(config))
    ours = ours_like(theirs, type_vocab_size=0)
    X, segments = batch()
    hidden, pooled = ours(X, LENGTHS)
    expected = theirs(input_ids=X, attention_mask=mask(LENGTHS)).last_hidden_state
    real = mask(LENGTHS).bool()
    torch.testing.assert_close(hidden[real], expected[real], atol=1e-5, rtol=0)
    assert pooled is None
    assert torch.equal(ours(X, LENGTHS, segments).hidden, hidden)  # it has nothing to read segments with


# Laws


small = lively(Bert(CONFIG))


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    extra=st.integers(0, 5),
    seed=st.integers(0, 100),
)
@settings(max_examples=30, deadline=None)
@torch.no_grad()
def test_padding_has_no_influence(lengths: list[int], extra: int, seed: int) -> None:
    """A text gives the same alone, in a batch, and whatever stands behind its end."""
    g = torch.Generator().manual_seed(seed)
    X = torch.randint(V, (len(lengths), max(lengths) + extra), generator=g)
    together = small(X, torch.tensor(lengths))
    for i, length in enumerate(lengths):
        alone = small(X[i : i + 1, :length])
        torch.testing.assert_close(together.hidden[i, :length], alone.hidden[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(together.pooled[i], alone.pooled[0], atol=1e-5, rtol=1e-4)
    assert together.hidden.isfinite().all()


@given(st.permutations(range(4)), st.booleans())
@settings(max_examples=15, deadline=None)
@torch.no_grad()
def test_order_of_the_batch_has_no_influence(order: list[int], pooled: bool) -> None:
    X, segments = batch()
    before, after = small(X, LENGTHS, segments), small(X[order], LENGTHS[order], segments[order])
    torch.testing.assert_close(after[pooled], before[pooled][order], atol=1e-5, rtol=1e-4)


@given(st.permutations(range(1, T)))
@settings(max_examples=15, deadline=None)
@torch.no_grad()
def test_only_positions_tell_the_order_of_words(order: list[int]) -> None:
    """Without position embeddings, words that change places take their vectors along, and [CLS] notices nothing."""
    blind = Bert(CONFIG)
    blind.load_state_dict(small.state_dict())
    blind.eval().embeddings.position.weight.zero_()
    X, _ = batch()
    order = [0, *order]
    before, after = blind(X), blind(X[:, order])
    torch.testing.assert_close(after.hidden, before.hidden[:, order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(after.pooled, before.pooled, atol=1e-5, rtol=1e-4)
    if order != list(range(T)):
        assert not torch.allclose(small(X[:, order]).hidden, small(X).hidden[:, order], atol=1e-3)


@torch.no_grad()
def test_attention_weights_are_shares_and_give_the_output() -> None:
    X, segments = batch()
    weights, states = small.attention(X, LENGTHS, segments), small.hidden_states(X, LENGTHS, segments)
    real = mask(LENGTHS).bool()[:, None, None]
    for layer, W, H in zip(small.layers, weights, states[:-1], strict=True):
        torch.testing.assert_close(W.sum(-1), torch.ones(4, 4, T))
        assert not W.masked_select(~real).any()
        values = layer.attention.project(H)[2]
        by_hand = layer.attention.out((W @ values).transpose(1, 2).reshape(4, T, 24))
        torch.testing.assert_close(layer.attention(H, real), by_hand, atol=1e-5, rtol=1e-4)


# Odd input


@torch.no_grad()
def test_one_token_and_the_longest_text() -> None:
    for steps in (1, 30):
        hidden, pooled = small(torch.ones(1, steps, dtype=torch.int64), torch.tensor([steps]))
        assert (hidden.shape, pooled.shape) == ((1, steps, 24), (1, 24))
        assert hidden.isfinite().all()
    assert torch.equal(
        small(torch.ones(1, 3, dtype=torch.int32)).hidden, small(torch.ones(1, 3).long()).hidden
    )


IDS = torch.ones(4, T, dtype=torch.int64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((IDS[0],), r"X\[None\]"),
        ((IDS * 50,), r"ids go from 50 to 50, .* 50 tokens"),
        ((IDS, torch.tensor([11, 0, 3, 4])), "sequence 1 has length 0"),
        ((IDS, IDS), r"mask.sum\(1\)"),
        (
            (IDS, None, IDS[:, :3]),
            r"segments of shape \(4, 11\) .*one for each token, got \(4, 3\).*encode_pair",
        ),
        ((IDS, None, IDS.float()), r"dtype torch.int64.* of torch.float32"),
        ((IDS, None, IDS * 2), r"segments go from 2 to 2, but the encoder knows 2 kinds, 0 to 1"),
        ((IDS.repeat(1, 3),), r"has 33 tokens, .* positions for 30: cut .*encode\(text, max_length=30\)"),
    ],
)
@pytest.mark.parametrize("encoder", [small, TransformersEncoder(CONFIG)])
def test_wrong_input_is_explained(encoder: nn.Module, arguments: tuple[Tensor, ...], message: str) -> None:
    for read in (encoder, encoder.hidden_states, encoder.attention):
        with pytest.raises(ValueError, match=message):
            read(*arguments)


def test_longer_than_512_says_so() -> None:
    with pytest.raises(
        ValueError, match=r"600 tokens.* for 512: .*max_length=512\), or read them in windows"
    ):
        load_encoder("bert-tiny")(torch.ones(1, 600, dtype=torch.int64))


def test_heads_must_share_the_hidden_size() -> None:
    with pytest.raises(ValueError, match=r"hidden_size=10 cannot be shared out among num_heads=3"):
        BertConfig(10, 10, 1, 3, 10)


# Parameters


@pytest.mark.parametrize("implementation", ["coursekit", "transformers"])
def test_tiny_and_its_depths(implementation: str) -> None:
    torch.manual_seed(0)
    encoder = load_encoder("bert-tiny", implementation=implementation)
    assert (encoder.hidden_size, encoder.config.vocab_size, len(encoder.layers)) == (128, 4000, 2)
    assert encoder.token_weight.shape == (4000, 128)
    depths = encoder.depths()
    assert len(depths) == 3
    assert {id(p) for p in depths[0]} == {id(p) for p in encoder.embeddings.parameters()}
    assert {id(p) for p in depths[1]} == {id(p) for p in encoder.layers[0].parameters()}
    assert {id(p) for p in encoder.pooler.parameters()} < {id(p) for p in depths[2]}
    everything = [id(p) for depth in depths for p in depth]
    assert sorted(everything) == sorted(id(p) for p in encoder.parameters())
    torch.manual_seed(0)
    again = load_encoder("bert-tiny", implementation=implementation)
    assert torch.equal(again.token_weight, encoder.token_weight)


def test_initial_weights_are_those_of_the_paper() -> None:
    encoder = Bert(BertConfig(1000, 64, 1, 2, 256))
    for name, parameter in encoder.named_parameters():
        if "norm" in name:
            assert torch.equal(parameter, torch.full_like(parameter, float(name.endswith("weight")))), name
        elif name.endswith("bias"):
            assert not parameter.any(), name
        else:
            assert 0.017 < parameter.std() < 0.023, name


def test_dropout_acts_in_training_only() -> None:
    X, _ = batch()
    for changed in ({"attention_dropout": 0.5, "dropout": 0.0}, {"attention_dropout": 0.0, "dropout": 0.5}):
        encoder = Bert(BertConfig(**vars(CONFIG) | changed)).train()
        assert not torch.equal(encoder(X).hidden, encoder(X).hidden)
        assert torch.equal(encoder.eval()(X).hidden, encoder(X).hidden)


def test_no_heavy_library_is_needed() -> None:
    code = (
        "import sys, coursekit.models as m; m.get_model('bert_sentence');"
        "heavy = 'transformers', 'datasets', 'peft', 'coursekit.data', 'torch._dynamo';"
        "print([n for n in heavy if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_ids_of_another_vocabulary_are_sent_to_their_own_word_pieces():
    with pytest.raises(ValueError, match=r"the model's vocabulary has 4000 tokens, .*load_wordpieces"):
        load_encoder("bert-tiny")(torch.tensor([[2, 29_999, 3]]))
