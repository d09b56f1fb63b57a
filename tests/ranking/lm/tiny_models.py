"""Tiny randomly initialised language models in folders, as Hugging Face keeps them: encoders and a decoder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

_FIRST = "viewed clicked bought rated chose put in the cart just now today this week month earlier : ; ."
WORDS = _FIRST.split(" ")


def encoder(folder: Path, words: Iterable[str], layers: int = 3, kind: str = "bert") -> Path:
    """A BERT, or an encoder that is built otherwise (`distilbert`, `mpnet`), without dropout."""
    tokenizer = _tokenizer(words, {"cls_token": "[CLS]", "sep_token": "[SEP]"})
    torch.manual_seed(1)
    if kind == "distilbert":
        model = DistilBertModel(
            DistilBertConfig(
                vocab_size=len(tokenizer), dim=32, n_layers=layers, n_heads=4, hidden_dim=64, dropout=0.0,
                attention_dropout=0.0, max_position_embeddings=256,
            )
        )  # fmt: skip
    elif kind == "mpnet":
        model = MPNetModel(
            MPNetConfig(
                vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=layers, num_attention_heads=4,
                intermediate_size=64, max_position_embeddings=256,
            )
        )  # fmt: skip
        torch.nn.init.normal_(model.encoder.relative_attention_bias.weight)
    else:
        model = BertModel(
            BertConfig(
                vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=layers, num_attention_heads=4,
                intermediate_size=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                max_position_embeddings=256,
            )
        )  # fmt: skip
    return _saved(model, tokenizer, folder)


def decoder(folder: Path, words: Iterable[str], layers: int = 2) -> Path:
    """A Qwen3 with grouped keys and rotary positions."""
    tokenizer = _tokenizer(words, {"eos_token": "[SEP]"})
    torch.manual_seed(1)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=layers, num_attention_heads=4, head_dim=8,
            num_key_value_heads=2, intermediate_size=64, max_position_embeddings=256,
        )
    )  # fmt: skip
    return _saved(model, tokenizer, folder)


def _tokenizer(words: Iterable[str], special: dict[str, str]) -> PreTrainedTokenizerFast:
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys([*WORDS, *(word.lower() for word in words)])]
    tokenizer = Tokenizer(models.WordLevel({name: at for at, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", **special)


def _saved(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
