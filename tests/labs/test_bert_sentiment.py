"""What the lab `bert_sentiment` quotes and teaches, worked out: its figures, and its solutions against torch's and the library's own."""

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autograde.lab import load_lab
from coursekit.data import best_span, load, load_wordpieces, tokenize, word_span
from coursekit.data.same_bag import same_bag
from coursekit.models import get_model, load_encoder

LAB = Path(__file__).parents[2] / "labs" / "bert_sentiment"
SPECIAL = {"PAD": 0, "CLS": 101, "SEP": 102, "MASK": 103}
BANKS = (
    "Have you paid that money to the bank yet?",
    "It is safest to deposit your money in the bank.",
    "The victim was found lying dead on the river bank.",
    "They stood on the river bank to fish.",
    "The hospital has its own blood bank.",
)


@pytest.fixture(scope="module")
def lab():
    return load_lab(LAB)


@pytest.fixture(scope="module")
def solved(lab):
    """The solutions of the lab, but for the one that trains."""
    names = {"torch": torch, "nn": nn, "F": F, **SPECIAL}
    for name, source in lab.solutions.items():
        if name != "predictions":
            exec(source, names)
    return names


@pytest.fixture(scope="module")
def pieces():
    return load_wordpieces("minilm")


@pytest.fixture(scope="module")
def minilm():
    return load_encoder("minilm").eval()


def quoted(text: str) -> bool:
    """Both languages of the lab quote `text`."""
    lines = (LAB / "lab.py").read_text(encoding="utf-8").replace("\n# ", " ")
    return lines.count(text) >= 2


def test_special_tokens_are_those_of_the_setup(lab, pieces):
    assert "PAD, CLS, SEP, MASK = 0, 101, 102, 103" in lab.setup
    assert [pieces.pad, pieces.cls, pieces.sep, pieces.mask] == list(SPECIAL.values())
    assert len(pieces) == 30_522


def test_word_pieces_are_minilms(solved, pieces):
    known = set(pieces.tokens(range(len(pieces))))
    words = {
        word
        for text in load("reviews_en").test.texts
        for word in text.lower().split()
        if word.isascii() and word.isalpha()
    }
    for word in sorted(words):
        assert solved["word_pieces"](word, known) == pieces.tokenize(word)
    assert pieces.tokenize("unwatchable") == ["un", "##watch", "##able"]


def test_table_of_the_input_is_what_the_solution_gives(solved, pieces):
    first, second = pieces.encode("the food")[1:-1], pieces.encode("not bad")[1:-1]
    rows = solved["bert_input"](first, second, 8)
    for row in rows:
        assert quoted(" | ".join(map(str, row)))


def test_bert_input_is_the_librarys(solved, pieces):
    a, b = "The food was good, and the waiters too.", "Not bad."
    ids, segments = pieces.encode_pair(a, b, max_length=12)
    mine = solved["bert_input"](pieces.encode(a)[1:-1], pieces.encode(b)[1:-1], 12)
    assert mine == (ids, segments, [1] * 12)


def test_embeddings_are_minilms(solved, pieces, minilm):
    ids, segments = (torch.tensor([row]) for row in pieces.encode_pair("Was it good?", "Not at all."))
    tables = minilm.embeddings
    weights = [tables.token.weight, tables.position.weight, tables.segment.weight]
    with torch.no_grad():
        mine = solved["embed"](ids, segments, *weights, tables.norm.weight, tables.norm.bias)
        torch.testing.assert_close(mine, tables(ids, segments), atol=1e-5, rtol=1e-5)


def test_attention_is_torchs(solved):
    Q, K, V = torch.randn(3, 2, 5, 4)
    lengths = torch.tensor([5, 2])
    real = (torch.arange(5) < lengths[:, None])[:, None, :]
    mixed, weights = solved["attention"](Q, K, V, lengths)
    torch.testing.assert_close(mixed, F.scaled_dot_product_attention(Q, K, V, attn_mask=real))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 5))


def test_multi_head_is_torchs_and_minilms(solved, minilm):
    theirs = nn.MultiheadAttention(12, num_heads=3, batch_first=True)
    nn.init.normal_(theirs.in_proj_bias)
    X, lengths = torch.randn(2, 5, 12), torch.tensor([5, 3])
    padded = torch.arange(5) >= lengths[:, None]
    weights = [theirs.in_proj_weight, theirs.in_proj_bias, theirs.out_proj.weight, theirs.out_proj.bias]
    with torch.no_grad():
        expected, _ = theirs(X, X, X, key_padding_mask=padded)
        torch.testing.assert_close(solved["multi_head"](X, lengths, *weights, 3), expected)

        layer, X = minilm.layers[0].attention, torch.randn(2, 5, 384)
        weights = [layer.qkv.weight, layer.qkv.bias, layer.out.weight, layer.out.bias]
        mine = solved["multi_head"](X, lengths, *weights, minilm.config.num_heads)
        torch.testing.assert_close(mine, layer(X, ~padded[:, None, None]), atol=1e-4, rtol=1e-4)


def test_heads_look_where_the_text_says(pieces, minilm):
    text = "The soup was cold, but the waiter warmed it at once."
    assert text in (LAB / "lab.py").read_text(encoding="utf-8")
    ids = torch.tensor([pieces.encode(text)])
    tokens = pieces.tokens(ids[0])
    inner = torch.arange(2, len(tokens) - 2)
    with torch.no_grad():
        looks = [layer[0] for layer in minilm.attention(ids)]
    assert looks[3][1][tokens.index("it")].argmax() == tokens.index("soup")
    assert looks[0][2][inner, inner - 1].min() > 0.9
    assert looks[1][8][inner, inner + 1].mean() > 0.5
    assert looks[2][7][inner, 0].mean() > 0.8


def test_banks_are_as_told(pieces, minilm):
    bank = pieces.encode("bank")[1]
    vectors = []
    for text in BANKS:
        assert quoted(text.replace("bank", "**bank**"))
        ids = torch.tensor([pieces.encode(text)])
        with torch.no_grad():
            vectors.append(minilm(ids).hidden[ids == bank][0])
    V = F.normalize(torch.stack(vectors), dim=1)
    alike = V @ V.T

    def mean(*pairs: tuple[int, int]) -> str:
        return f"{sum(alike[i, j].item() for i, j in pairs) / len(pairs):.2f}"

    told = [mean((0, 1)), mean((2, 3)), mean((0, 2), (0, 3), (1, 2), (1, 3)), mean((4, 0), (4, 1))]
    assert all(quoted(number) for number in [*told, mean((4, 2), (4, 3))]), told


def test_masking_keeps_the_shares(solved):
    torch.manual_seed(0)
    ids = torch.randint(1000, 9999, (400, 200))
    ids[:, 0], ids[:, -1] = SPECIAL["CLS"], SPECIAL["SEP"]
    random_ids = torch.randint(10_000, 20_000, ids.shape)
    inputs, labels = solved["mask_tokens"](
        ids, [0, 101, 102], 103, torch.rand(ids.shape), torch.rand(ids.shape), random_ids
    )
    chosen = labels != -100
    assert torch.equal(labels[chosen], ids[chosen]) and torch.equal(inputs[~chosen], ids[~chosen])
    assert not chosen[:, 0].any() and not chosen[:, -1].any()
    assert chosen[:, 1:-1].float().mean().item() == pytest.approx(0.15, abs=0.01)
    shares = [
        (inputs[chosen] == 103),
        (inputs[chosen] == random_ids[chosen]),
        (inputs[chosen] == ids[chosen]),
    ]
    for share, expected in zip(shares, (0.8, 0.1, 0.1), strict=True):
        assert share.float().mean().item() == pytest.approx(expected, abs=0.01)


def test_pretraining_loss_is_that_of_transformers(solved):
    from transformers import BertConfig, BertForPreTraining

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    theirs = BertForPreTraining(config).eval()
    ids, labels = torch.randint(50, (3, 7)), torch.full((3, 7), -100)
    labels[0, 1], labels[1, 2:5], labels[2, 3] = 4, 7, 9
    follows = torch.tensor([0, 1, 1])
    with torch.no_grad():
        out = theirs(input_ids=ids, labels=labels, next_sentence_label=follows)
        mine = solved["pretraining_loss"](out.prediction_logits, labels, out.seq_relationship_logits, follows)
    torch.testing.assert_close(mine, out.loss)


def test_loss_of_tossing_coins():
    vocabulary = {word for text in same_bag("en").train.texts for word in tokenize(text)}
    assert len(vocabulary) == 230 and quoted("230")
    assert round(math.log(230 + 5) + math.log(2), 2) == 6.15
    assert "ln 235 + ln 2 = 6.15" in (LAB / "lab.py").read_text(encoding="utf-8")


def test_mean_of_is_the_models_pooling(solved, pieces):
    model = get_model("bert_sentence", encoder="bert-tiny", pooling="mean").eval()
    X, lengths = torch.randint(5, 4000, (3, 8)), torch.tensor([8, 3, 5])
    with torch.no_grad():
        hidden = model.encoder(X, lengths).hidden
        mine = model.head(solved["mean_of"](hidden, torch.arange(8) < lengths[:, None]))
        torch.testing.assert_close(mine, model(X, lengths))


def test_gravity_is_word_17(lab):
    sentence = "In meteorology, precipitation is any product of the condensation of atmospheric water vapor that falls under gravity."
    assert quoted(sentence) and word_span(sentence, "gravity") == (17, 17)
    assert quoted("$s = e = 17$")


def test_best_span_is_the_librarys(solved):
    torch.manual_seed(0)
    for _ in range(50):
        start, end = torch.randn(2, 20)
        s, e = solved["best_span"](start, end, 5, 4)
        expected = best_span(start[5:], end[5:], max_answer_length=4)
        assert (s - 5, e - 5) == (int(expected.start), int(expected.end))


def test_training_data_are_as_described(lab):
    assert len(load("reviews_en").train) == 832 and quoted("832")
    assert len(load("reviews_en").test) == 320 and quoted("320")
    assert "pairs.train.texts[:400]" in lab.setup and quoted("400")
    assert len(same_bag("en").train) == 4_000 and quoted("4,000")


def test_sizes_of_the_encoders(minilm):
    weights = sum(parameter.numel() for parameter in minilm.parameters())
    assert round(weights / 1e6, 1) == 22.7 and quoted("22.7") and quoted("2270")
    assert minilm.config.num_layers == 6 and minilm.config.num_heads == 12 and minilm.hidden_size == 384


def test_thresholds_in_the_text_are_those_of_the_check(lab):
    compare = lab.exercises["predictions"].compare
    assert quoted(f"{compare.threshold:.0%}") and quoted(f"{compare.floor:.0%}")


def test_handed_out_reviews_and_their_labels(lab):
    texts = (LAB / "files" / "test_reviews.tsv").read_text(encoding="utf-8").splitlines()
    known = json.loads((LAB / "instructor" / "test_labels.json").read_text(encoding="utf-8"))
    assert texts[0] == "text" and len(texts) - 1 == len(known["labels"]) == 240
    exercise = lab.exercises["predictions"]
    assert exercise.options["total"] == 240
    public, hidden = (exercise.draw_cases(None, hidden=part)[0] for part in (False, True))
    assert len(public.inputs["positions"]) == 40 and len(hidden.inputs["positions"]) == 200
    assert sorted(public.inputs["positions"] + hidden.inputs["positions"]) == list(range(240))
    elsewhere = load("reviews_en")
    seen = {*elsewhere.train.texts, *elsewhere.val.texts, *elsewhere.test.texts}
    assert not seen & set(texts[1:])


def test_number_of_exercises_is_that_of_the_text(lab):
    assert len(lab.exercises) == 12
    assert sum(exercise.minutes for exercise in lab.exercises.values()) <= lab.settings["minutes"]
