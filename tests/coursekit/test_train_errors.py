"""What goes wrong ends in a clear message, with model and history intact."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from trainings import data, net, same, train

from coursekit.data import PairSplit, SpanSplit, TagSplit, load
from coursekit.models import get_model
from coursekit.train import DataError, TrainingError, evaluate, fit
from coursekit.train.run import snapshot


class Breaks(nn.Module):
    """Raises `error`, or returns nan, at the given training step."""

    def __init__(self, at: int, error: Exception | None = None) -> None:
        super().__init__()
        self.net, self.at, self.error, self.steps = net(), at, error, 0

    def forward(self, X):
        self.steps += self.training
        if self.training and self.steps == self.at:
            if self.error is not None:
                raise self.error
            return self.net(X) * float("nan")
        return self.net(X)


def remember(kept):
    return lambda run: kept.append(snapshot(run.model))


@pytest.mark.parametrize(
    "error", [None, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")]
)
def test_a_failure_goes_back_to_the_last_whole_epoch(error):
    model, kept = Breaks(at=15, error=error), []
    with pytest.raises(TrainingError) as caught:
        train(model, epochs=4, callbacks=[remember(kept)])  # 6 steps an epoch
    assert len(caught.value.history) == 2
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in kept[-1].items())
    assert all(p.grad is None for p in model.parameters())
    message = str(caught.value)
    expected = "epoch 3, step 3" if error is None else "batch_size=8"
    assert expected in message


def test_nan_names_the_learning_rate_or_the_data():
    with pytest.raises(TrainingError, match=r"lr=0\.001"):
        train(Breaks(at=1), lr=0.01)
    X, y = data()
    X[3, 1] = float("nan")
    with pytest.raises(TrainingError, match="inputs of this batch hold nan"):
        train(net(), (X, y))


def test_a_loss_that_explodes_is_caught():
    X, y = torch.randn(64, 4) * 1e3, torch.randn(64, 1) * 1e20
    with pytest.raises(TrainingError, match="no longer finite"):
        train(nn.Linear(4, 1), (X, y), loss=nn.functional.mse_loss, optimizer="sgd", clip_norm=None, lr=1e3)


def test_ctrl_c_returns_the_history_and_keeps_the_weights():
    def interrupt(run):
        if run.epoch == 2:
            raise KeyboardInterrupt

    model, start = net(), net()
    history = train(model, epochs=5, callbacks=[interrupt])
    assert history.stopped == "interrupted" and len(history) == 2
    assert not same(model, start)
    assert train(model, epochs=1).stopped == ""  # and it can be trained again


@pytest.mark.parametrize("as_loader", [False, True])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (lambda y: y + 1, r"from \d to 3, but the model has 3 outputs"),
        (lambda y: y - 1, "from -1"),
        (lambda y: y.float(), "torch.float32; use y.long"),
        (lambda y: nn.functional.one_hot(y), "not one-hot"),
        (lambda y: y[:, None], r"\(2, 1\)"),
    ],
)
def test_wrong_labels(labels, message, as_loader):
    X, y = data()
    source = (X, labels(y))
    if as_loader:
        source = DataLoader(TensorDataset(*source), batch_size=96)
    model, start = net(), net()
    with pytest.raises(DataError, match=message):
        train(model, source)
    assert same(model, start)
    with pytest.raises(DataError, match=message):
        evaluate(model, source)


def test_wrong_labels_of_a_late_batch_of_a_loader():
    X, y = data()
    y[90] = 7
    with pytest.raises(DataError, match="to 7"):
        train(net(), DataLoader(TensorDataset(X, y), batch_size=16))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (torch.randn(96, 5), r"shape \(2, 5\) \(torch.float32\)"),
        (torch.randint(0, 9, (96, 4)), "torch.int64"),
        (torch.randn(95, 4), "X has 95 examples, y has 96"),
        (torch.randn(0, 4), "X has 0 examples, y has 96"),
    ],
)
def test_inputs_that_do_not_fit(X, message):
    with pytest.raises(DataError, match=message):
        train(net(), (X, data()[1]))


@pytest.mark.parametrize("as_loader", [False, True])
def test_no_data(as_loader):
    X, y = data()
    empty = (X[:0], y[:0])
    with pytest.raises(DataError, match="no data"):
        train(net(), DataLoader(TensorDataset(*empty), batch_size=4) if as_loader else empty)
    with pytest.raises(DataError, match="no data"):
        evaluate(net(), empty)


def test_a_forgotten_return():
    class Forgets(nn.Linear):
        def forward(self, X):
            super().forward(X)

    with pytest.raises(DataError, match="forget to return"):
        train(Forgets(4, 3))


def test_a_stub_is_not_hidden():
    class Stub(nn.Linear):
        def forward(self, X):
            raise NotImplementedError("your code here")

    with pytest.raises(NotImplementedError, match="your code here"):
        train(Stub(4, 3))


def test_the_students_own_mistakes_pass_through():
    class Typo(nn.Linear):
        def forward(self, X):
            return super().forwrd(X)

    with pytest.raises(AttributeError, match="forwrd"):
        train(Typo(4, 3))


def test_a_model_without_parameters():
    with pytest.raises(ValueError, match="no parameters to train"):
        fit(
            nn.Flatten(), (torch.randn(8, 3), torch.zeros(8, dtype=torch.int64)), device="cpu", progress=False
        )


def test_texts_must_be_encoded_first():
    reviews = load("reviews_en")
    with pytest.raises(DataError, match=r"encode them first"):
        fit(get_model("bow", vocab_size=9), reviews, epochs=1)


@pytest.mark.parametrize(
    "split",
    [
        PairSplit(["a"], ["b"], torch.tensor([0])),
        TagSplit([["a"]], [["O"]], ["O"]),
        SpanSplit(["who"], ["he"], ["he"], [0]),
    ],
    ids=lambda split: type(split).__name__,
)
def test_tasks_of_texts_are_encoded_by_word_pieces(split) -> None:
    with pytest.raises(DataError, match=r"encode them first, .*load_wordpieces"):
        fit(get_model("bert_sentence"), split, progress=False)
