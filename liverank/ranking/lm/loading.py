"""The re-ranker's model as it is before training: from a name to a scorer on a device."""

from __future__ import annotations

from typing import Any

import torch

from liverank.config.lm import LmConfig
from liverank.config.training import TrainingConfig
from liverank.errors import ConfigError
from liverank.ranking.lm.masked_reader import MaskedReader
from liverank.ranking.lm.model import LmScorer
from liverank.ranking.lm.prompts import Prompts, PromptSizes
from liverank.ranking.lm.shared_encoder import SharedEncoder
from liverank.ranking.lm.template import HistoryTemplate
from liverank.text import LanguageModelError, load_model

_LAYER_LISTS = ("layers", "h", "layer")


def model_name(config: TrainingConfig) -> str:
    """The language model that is fine-tuned."""
    return config.lm.model or config.language_model


def load_scorer(name: str, config: LmConfig, device: torch.device) -> tuple[Prompts, LmScorer]:
    """What makes token ids of requests, and the untrained scorer of them.

    Raises:
        LanguageModelError: the model cannot be had, or not be read as the configuration says.
        ConfigError: it has fewer positions than tokens are to be read.
    """
    tokenizer, model = load_model(name, str(device))
    causal = is_decoder(model.config)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    _check_length(name, model.config, config)
    reader = _reader(model, causal, config).to(device)
    if config.adapter == "lora":
        _adapt(reader, config)
    if config.gradient_checkpointing:
        if isinstance(reader, SharedEncoder):
            raise ConfigError(
                f"training.lm.gradient_checkpointing has no effect on {name}, an encoder of the BERT family.",
                "Set it to false; fewer joint_layers or a smaller batch take less memory.",
            )
        model.gradient_checkpointing_enable()
    scorer = LmScorer(reader, pretrained_cosine=not causal).to(device)
    sizes = PromptSizes(config.history_events, config.history_tokens, config.candidate_tokens)
    return Prompts(tokenizer, HistoryTemplate(config.language), sizes), scorer


def is_decoder(config: Any) -> bool:
    """Whether a model's tokens see only those before them."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = config.model_type
    return kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def _reader(model: Any, causal: bool, config: LmConfig) -> Any:
    if not causal:
        try:
            return SharedEncoder(model, config.joint_layers, config.cache_mib)
        except LanguageModelError:
            if config.joint_layers:
                raise
    reader = MaskedReader(model, causal)
    reader.prove()
    _train_top(model, config.joint_layers)
    return reader


def _train_top(model: Any, layers: int) -> None:
    """Has the top layers trained and nothing else; 0: everything."""
    model.requires_grad_(not layers)
    if not layers:
        return
    blocks = next((getattr(model, name) for name in _LAYER_LISTS if hasattr(model, name)), None)
    if blocks is None or layers > len(blocks):
        raise LanguageModelError(
            f"{type(model).__name__} has not {layers} layers that could be trained alone.",
            "Set training.lm.joint_layers to 0, which trains all of it.",
        )
    for block in blocks[-layers:]:
        block.requires_grad_(True)


def _adapt(reader: Any, config: LmConfig) -> None:
    """Puts adapters beside the linear layers that would have been trained, which then stay as they are."""
    from peft import LoraConfig, inject_adapter_in_model

    wanted = [name for name, of in reader.model.named_modules() if _trained_linear(of)]
    reader.model.requires_grad_(False)
    lora = LoraConfig(r=config.lora_rank, lora_alpha=2 * config.lora_rank, target_modules=wanted, lora_dropout=0.0)
    inject_adapter_in_model(lora, reader.model)


def _trained_linear(module: Any) -> bool:
    return isinstance(module, torch.nn.Linear) and module.weight.requires_grad


def _check_length(name: str, model: Any, config: LmConfig) -> None:
    places = getattr(model, "max_position_embeddings", None)
    wanted = config.history_tokens + config.candidate_tokens
    if places and wanted > places:
        raise ConfigError(
            f"{name} has {places} positions; training.lm.history_tokens and candidate_tokens want {wanted}.",
            "Set them lower.",
        )
