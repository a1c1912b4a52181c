"""The peer of the BERT benchmarks: `transformers`' own models, Trainer and pipeline, with their defaults."""

from __future__ import annotations

import tempfile
from typing import Any

import torch

from coursekit.data.pretrained import find_pretrained


def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(find_pretrained("minilm"))


def model_of(head: str, seed: int, **config: Any) -> Any:
    """MiniLM with a new head of the class `head` of transformers."""
    import transformers

    transformers.logging.set_verbosity_error()
    torch.manual_seed(seed)
    return getattr(transformers, head).from_pretrained(find_pretrained("minilm"), **config)


def train(model: Any, examples: list[dict[str, Any]], collator: Any, seed: int, **settings: Any) -> Any:
    """Train as the Trainer does unless told otherwise; nothing is saved on the way and nothing is logged."""
    from transformers import Trainer, TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, save_strategy="no", report_to=[], disable_tqdm=True, seed=seed, **settings
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=examples, data_collator=collator)
        trainer.train()
    return trainer
