"""What a model predicts: spans, in batches of any size, and as a file to hand in."""

import hashlib
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from trainings import Classifier, sentences, train

from coursekit.data import Sequences, Split
from coursekit.train import DataError, Spans, evaluate, input_fingerprint, predict, predict_to_file

# Spans


def test_spans_are_the_mean_of_two_cross_entropies():
    logits = torch.randn(6, 9, 2, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[0, 0], [1, 4], [8, 8], [2, 3], [5, 9], [-100, 12]])
    outcome = Spans()(lambda X: logits, (None, y))
    start = F.cross_entropy(logits[:5, :, 0], y[:5, 0])
    end = F.cross_entropy(logits[:4, :, 1], y[:4, 1])
    torch.testing.assert_close(outcome.loss, (start + end) / 2)
    assert outcome.total == 5
    right = F.one_hot(y[:4], 9).movedim(1, 2).float()
    assert Spans()(lambda X: right, (None, y[:4])).correct == 4
    half = right.clone()
    half[1, :, 1] = half[1, :, 1].roll(1)
    assert Spans()(lambda X: half, (None, y[:4])).correct == 3


def test_spans_equal_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    model = transformers.BertForQuestionAnswering(config).eval()
    X, y = torch.randint(0, 50, (4, 7)), torch.tensor([[0, 3], [6, 6], [2, 7], [1, 40]])
    with torch.no_grad():
        theirs = model(X, start_positions=y[:, 0], end_positions=y[:, 1])
        ours = Spans()(lambda X: torch.stack([theirs.start_logits, theirs.end_logits], 2), (X, y))
    torch.testing.assert_close(ours.loss, theirs.loss)


@pytest.mark.parametrize(
    ("shape", "y"),
    [
        ((2, 5, 3), [[0, 1], [1, 2]]),
        ((2, 5), [[0, 1], [1, 2]]),
        ((2, 5, 2), [0, 1]),
        ((2, 5, 2), [[7, 9], [-100, 5]]),
    ],
)
def test_spans_that_do_not_fit(shape, y):
    with pytest.raises(DataError, match=r"steps|expected"):
        Spans()(lambda X: torch.zeros(shape), (None, torch.tensor(y)))


def test_spans_are_learned():
    class Pointer(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(9, 2)

        def forward(self, X, lengths=None):
            return self.embed(X)

    X = torch.stack([torch.randperm(9, generator=torch.Generator().manual_seed(i)) for i in range(64)])
    y = torch.stack([(X == 3).nonzero()[:, 1], (X == 5).nonzero()[:, 1]], 1)
    model = Pointer()
    train(model, (X, y), step=Spans(), epochs=20, lr=0.3)
    assert evaluate(model, (X, y), step=Spans()).accuracy == 1.0


# Predictions


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 64), st.integers(0, 99))
def test_predictions_do_not_depend_on_the_batches(n, batch_size, seed):
    model, source = Classifier(), sentences(n, seed)
    whole = predict(model, source, batch_size=batch_size, device="cpu", precision="fp32")
    with torch.no_grad():
        model.eval()
        alone = torch.cat([model(row[None]) for row, _ in source])
    torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-5)


def test_an_encoder_reads_no_more_tokens_at_once_than_its_caches_hold(monkeypatch):
    sizes = []

    class Watched(Classifier):
        def forward(self, X, lengths=None):
            sizes.append(X.numel())
            return super().forward(X, lengths)

    monkeypatch.setattr("coursekit.train.scoring.MAX_TOKENS", 40)
    source = sentences(60)
    assert predict(Watched(), source).shape == (60, 2)
    assert max(sizes) <= 40 and len(sizes) >= 6
    assert evaluate(Watched(), source).loss == pytest.approx(evaluate(Classifier(), source).loss, rel=1e-5)


def test_predictions_as_a_file(tmp_path):
    model, source = Classifier(), sentences()
    path = predict_to_file(model, source, tmp_path / "out" / "predictions.json", probabilities=True)
    content = json.loads(path.read_text())
    logits = predict(model, source)
    assert content["labels"] == logits.argmax(1).tolist()
    torch.testing.assert_close(torch.tensor(content["probabilities"]), logits.softmax(1), rtol=0, atol=1e-6)
    assert content["inputs"] == input_fingerprint(source)
    assert [p.name for p in path.parent.iterdir()] == ["predictions.json"]
    assert set(json.loads(predict_to_file(model, source, path).read_text())) == {"inputs", "labels"}


def test_the_fingerprint_is_of_the_inputs_in_their_order():
    rows = [torch.tensor([3, 4]), torch.tensor([5, 6]), torch.tensor([7])]
    y = torch.tensor([0, 1, 0])
    of = [
        input_fingerprint(Sequences(rows, y)),
        input_fingerprint(Sequences(rows, 1 - y)),
        input_fingerprint(Sequences([rows[1], rows[0], rows[2]], y)),
        input_fingerprint(Sequences([torch.tensor([3, 4, 5]), torch.tensor([6]), rows[2]], y)),
    ]
    assert of[0] == of[1] and len(set(of)) == 3
    X = torch.randn(5, 3)
    assert (
        input_fingerprint(X)
        == input_fingerprint((X, y.new_zeros(5)))
        == input_fingerprint(Split(X, y.new_ones(5)))
    )
    texts = ["gut", "不好", "\ud800"]
    assert input_fingerprint(texts) == hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    assert input_fingerprint(texts) != input_fingerprint(texts[::-1])
    with pytest.raises(DataError, match="give texts="):
        input_fingerprint(DataLoader(TensorDataset(X, X)))


def test_predictions_can_name_the_texts_that_were_encoded(tmp_path):
    texts = [f"text {i}" for i in range(48)]
    path = predict_to_file(Classifier(), sentences(), tmp_path / "p.json", texts=texts)
    assert json.loads(path.read_text())["inputs"] == input_fingerprint(texts)
    with pytest.raises(DataError, match="47 texts but 48 predictions"):
        predict_to_file(Classifier(), sentences(), tmp_path / "q.json", texts=texts[1:])
    assert not (tmp_path / "q.json").exists()


def test_predictions_that_are_none_leave_the_old_file(tmp_path):
    path = predict_to_file(Classifier(), sentences(), tmp_path / "p.json")
    good = path.read_bytes()
    broken = Classifier()
    nn.init.constant_(broken.out.bias, float("nan"))
    with pytest.raises(DataError, match="nan or infinite"):
        predict_to_file(broken, sentences(), path)
    with pytest.raises(DataError, match="one class an example"):
        predict_to_file(nn.Embedding(50, 3), torch.ones(4, 5, dtype=torch.int64), path)
    assert path.read_bytes() == good


def test_under_grading_the_file_that_was_handed_in_stays(tmp_path, monkeypatch):
    path = tmp_path / "p.json"
    path.write_text("{}")
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert predict_to_file(Classifier(), sentences(), path) == path
    assert path.read_text() == "{}"
