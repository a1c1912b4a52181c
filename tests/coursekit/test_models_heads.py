"""BERT's heads: logits and loss equal to those of transformers, pooling over real tokens, pretrained heads from files."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bert import LENGTHS, V, batch, bert_of_transformers, lively, mask, ours_like, write
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.models import BertSentence, from_transformers, get_model, list_models, load_encoder, model_info

HEADS = [name for name in list_models() if name.startswith("bert_")]


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def their_answer(theirs: nn.Module, X: Tensor, segments: Tensor | None, **labels: Tensor) -> Any:
    return theirs(input_ids=X, attention_mask=mask(LENGTHS), token_type_ids=segments, **labels)


def gradients_equal(ours: nn.Module, theirs: Any) -> None:
    """After backward: of the lowest layer and of the token embeddings."""
    close(ours.encoder.layers[0].up.weight.grad, theirs.bert.encoder.layer[0].intermediate.dense.weight.grad)
    close(ours.encoder.token_weight.grad, theirs.bert.get_input_embeddings().weight.grad)


@pytest.mark.parametrize("name", ["bert_sentence", "bert_pair"])
@pytest.mark.parametrize("num_classes", [2, 5])
def test_sentence_equals_transformers(name: str, num_classes: int) -> None:
    theirs = bert_of_transformers("BertForSequenceClassification", num_labels=num_classes)
    ours = get_model(name, encoder=ours_like(theirs), num_classes=num_classes, pooling="pooler").eval()
    ours.head.load_state_dict(theirs.classifier.state_dict())
    X, segments = batch()
    y = torch.arange(4) % num_classes
    expected = their_answer(theirs, X, segments, labels=y)
    logits = ours(X, LENGTHS, segments)
    loss = F.cross_entropy(logits, y)
    close(logits, expected.logits)
    close(loss, expected.loss)
    loss.backward(), expected.loss.backward()
    gradients_equal(ours, theirs)


def test_token_equals_transformers() -> None:
    theirs = bert_of_transformers("BertForTokenClassification", num_labels=4)
    ours = get_model("bert_token", encoder=ours_like(theirs), num_classes=4).eval()
    ours.head.load_state_dict(theirs.classifier.state_dict())
    X, _ = batch()
    real = mask(LENGTHS).bool()
    y = (X % 4).masked_fill(~real, -100)
    expected = their_answer(theirs, X, None, labels=y)
    logits = ours(X, LENGTHS)
    loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
    close(logits[real], expected.logits[real])
    close(loss, expected.loss)
    loss.backward(), expected.loss.backward()
    gradients_equal(ours, theirs)


def test_span_equals_transformers() -> None:
    theirs = bert_of_transformers("BertForQuestionAnswering")
    ours = get_model("bert_span", encoder=ours_like(theirs)).eval()
    ours.head.load_state_dict(theirs.qa_outputs.state_dict())
    X, segments = batch()
    y = torch.tensor([[2, 5], [0, 0], [4, 4], [1, 9]])
    expected = their_answer(theirs, X, segments, start_positions=y[:, 0], end_positions=y[:, 1])
    logits = ours(X, LENGTHS, segments)
    loss = F.cross_entropy(logits, y)
    close(logits, torch.stack([expected.start_logits, expected.end_logits], -1))
    close(loss, expected.loss)
    loss.backward(), expected.loss.backward()
    gradients_equal(ours, theirs)


def test_masked_word_equals_transformers(tmp_path: Path) -> None:
    theirs = bert_of_transformers("BertForMaskedLM")
    ours = get_model("bert_mlm", encoder=str(write(tmp_path, theirs))).eval()
    assert ours.pretrained_head
    X, _ = batch()
    masked = mask(LENGTHS).bool() & (X % 3 == 0)
    y = X.masked_fill(~masked, -100)
    expected = their_answer(theirs, X, None, labels=y)
    logits = ours(X, LENGTHS)
    loss = F.cross_entropy(logits[masked], X[masked])
    close(logits[masked], expected.logits[masked])
    close(loss, expected.loss)
    close(ours.logits(ours.encoder(X, LENGTHS).hidden[masked]), logits[masked])
    loss.backward(), expected.loss.backward()
    gradients_equal(ours, theirs)  # the table of tokens learns at both ends


def test_next_sentence_equals_transformers(tmp_path: Path) -> None:
    theirs = bert_of_transformers("BertForNextSentencePrediction")
    ours = get_model("bert_nsp", encoder=str(write(tmp_path, theirs))).eval()
    assert ours.pretrained_head
    X, segments = batch()
    y = torch.tensor([0, 1, 1, 0])
    expected = their_answer(theirs, X, segments, labels=y)
    logits = ours(X, LENGTHS, segments)
    loss = F.cross_entropy(logits, y)
    close(logits, expected.logits)
    close(loss, expected.loss)
    loss.backward(), expected.loss.backward()
    gradients_equal(ours, theirs)


@torch.no_grad()
def test_heads_of_pretraining_lie_in_one_file(tmp_path: Path) -> None:
    theirs = bert_of_transformers("BertForPreTraining")
    folder = str(write(tmp_path, theirs))
    X, segments = batch()
    expected = their_answer(theirs, X, segments)
    words, following = (
        get_model("bert_mlm", encoder=folder).eval(),
        get_model("bert_nsp", encoder=folder).eval(),
    )
    real = mask(LENGTHS).bool()
    close(words(X, LENGTHS, segments)[real], expected.prediction_logits[real])
    close(following(X, LENGTHS, segments), expected.seq_relationship_logits)


@torch.no_grad()
def test_masked_word_of_distilbert(tmp_path: Path) -> None:
    config = transformers.DistilBertConfig(vocab_size=V, dim=24, n_layers=2, n_heads=4, hidden_dim=40)
    theirs = lively(transformers.DistilBertForMaskedLM(config))
    folder = str(write(tmp_path, theirs))
    ours = get_model("bert_mlm", encoder=folder).eval()
    assert ours.pretrained_head
    X, _ = batch()
    real = mask(LENGTHS).bool()
    close(ours(X, LENGTHS)[real], theirs(input_ids=X, attention_mask=mask(LENGTHS)).logits[real])
    for name, config in (("bert_nsp", {}), ("bert_sentence", {"pooling": "pooler"})):
        with pytest.raises(ValueError, match=r"this encoder has none .* pooling=\"mean\" or \"cls\""):
            get_model(name, encoder=folder, **config)
    assert get_model("bert_sentence", encoder=folder).eval()(X, LENGTHS).shape == (4, 2)


def test_without_pretrained_heads_they_are_fresh(tmp_path: Path) -> None:
    folder = str(write(tmp_path, bert_of_transformers()))
    for encoder in (folder, "bert-tiny", load_encoder("bert-tiny")):
        model = get_model("bert_mlm", encoder=encoder)
        assert not model.pretrained_head
        assert not model.head.bias.any()
        assert 0.01 < model.head.dense.weight.std() < 0.03
        assert not get_model("bert_nsp", encoder=encoder).pretrained_head


def test_a_head_of_another_size_is_named(tmp_path: Path) -> None:
    theirs = bert_of_transformers("BertForMaskedLM")
    theirs.cls.predictions.bias = nn.Parameter(torch.zeros(V + 1))
    theirs.cls.predictions.decoder.bias = theirs.cls.predictions.bias
    with pytest.raises(ValueError, match=r"bias is \(51,\), expected \(50,\)"):
        get_model("bert_mlm", encoder=str(write(tmp_path, theirs)))


# Whatever the head


@cache
def lively_head(name: str, **config: Any) -> Any:
    return lively(get_model(name, **config))


@pytest.mark.parametrize("name", HEADS)
def test_encoder_and_head_share_out_the_parameters(name: str) -> None:
    model = get_model(name)
    encoder, head = ({id(p) for p in part.parameters()} for part in (model.encoder, model.head))
    assert encoder.isdisjoint(head)
    assert encoder | head == {id(p) for p in model.parameters()}
    assert len(model.encoder.depths()) == 3


@pytest.mark.parametrize("name", HEADS)
@torch.no_grad()
def test_either_implementation_will_do(name: str) -> None:
    theirs = load_encoder("bert-tiny", implementation="transformers")
    lively(theirs)
    ours = get_model(name, encoder=load_encoder("bert-tiny")).eval()
    ours.encoder.load_state_dict(from_transformers(theirs.model.state_dict()))
    other = get_model(name, encoder=theirs).eval()
    other.head.load_state_dict(ours.head.state_dict())
    X, segments = batch()
    a, b = ours(X, LENGTHS, segments), other(X, LENGTHS, segments)
    real = mask(LENGTHS).bool() if a.ndim == 3 else slice(None)
    torch.testing.assert_close(a[real], b[real], atol=1e-4, rtol=1e-4)
    assert "Devlin et al. 2019" in model_info(name).summary


@given(
    name=st.sampled_from(HEADS),
    pooling=st.sampled_from(["mean", "cls", "pooler"]),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    extra=st.integers(0, 4),
)
@settings(max_examples=40, deadline=None)
@torch.no_grad()
def test_padding_has_no_influence(name: str, pooling: str, lengths: list[int], extra: int) -> None:
    config = {"pooling": pooling} if name in ("bert_sentence", "bert_pair") else {}
    model = lively_head(name, **config)
    X = torch.randint(V, (len(lengths), max(lengths) + extra), generator=torch.Generator().manual_seed(extra))
    together = model(X, torch.tensor(lengths))
    for i, length in enumerate(lengths):
        alone = model(X[i : i + 1, :length])[0]
        mine = together[i, :length] if together.ndim == 3 else together[i]
        torch.testing.assert_close(mine, alone, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_pooling_is_what_it_says() -> None:
    X, segments = batch()
    for pooling in ("mean", "cls", "pooler"):
        model = lively_head("bert_pair", pooling=pooling)
        assert isinstance(model, BertSentence)
        assert (model.encoder.pooler is not None) == (pooling == "pooler") == model.encoder.config.pooler
        hidden, pooled = model.encoder(X, LENGTHS, segments)
        vectors = {
            "mean": torch.stack(
                [text[:length].mean(0) for text, length in zip(hidden, LENGTHS, strict=True)]
            ),
            "cls": hidden[:, 0],
            "pooler": pooled,
        }
        torch.testing.assert_close(model(X, LENGTHS, segments), model.head(vectors[pooling]))
    with pytest.raises(ValueError, match=r"pooling='max' .* 'mean', 'cls', 'pooler'"):
        get_model("bert_sentence", pooling="max")


@pytest.mark.parametrize("name", ["bert_sentence", "bert_pair", "bert_token"])
def test_dropout_before_the_head(name: str) -> None:
    model = lively_head(name, dropout=0.5)
    X, _ = batch()
    model.dropout.train()  # and nothing else
    assert not torch.equal(model(X), model(X))
    assert torch.equal(model.eval()(X), model(X))


@pytest.mark.parametrize("name", HEADS)
@torch.no_grad()
def test_segments_are_read(name: str) -> None:
    model = lively_head(name)
    X, segments = batch()
    assert not torch.allclose(model(X, LENGTHS, segments), model(X, LENGTHS), atol=1e-3)
    torch.testing.assert_close(model(X, LENGTHS, segments * 0), model(X, LENGTHS))


def test_examples_of_spans_and_tokens() -> None:
    X, y = model_info("bert_span").example_batch(20)
    assert y.shape == (20, 2) and bool((y[:, 0] <= y[:, 1]).all()) and int(y.max()) < X.shape[1]
    X, y = model_info("bert_token").example_batch(3, num_classes=4)
    assert y.shape == X.shape and int(y.max()) < 4
