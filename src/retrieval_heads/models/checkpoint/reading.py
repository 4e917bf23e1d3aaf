"""Configuration and tokenizer of a checkpoint; whatever cannot be read is refused in one sentence.

Code that lies in a checkpoint is never run, and nothing is asked on standard input.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig, AutoTokenizer, PretrainedConfig

from retrieval_heads.models.checkpoint.faults import AGAIN, check_config, fault, first_line
from retrieval_heads.models.checkpoint.sentencepiece_ids import check_sentencepiece
from retrieval_heads.models.unsupported import text_config

OWN_CODE = "code of a checkpoint is not run: choose a model type that transformers has itself"
SAVE = "put the tokenizer.json of the model into the folder (`save_pretrained` of a fast tokenizer writes one)"


def read_saved_config(path: str, revision: str | None = None) -> Any:
    """The configuration as it was saved; raises `ModelError` when transformers cannot read it."""
    check_config(path)
    try:
        config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)
    except Exception as error:  # validators of configurations raise errors of their own
        raise fault(path, *_config_fault(path, error)) from error
    text = text_config(config)
    if not isinstance(text, PretrainedConfig):
        raise fault(path, f"its config.json has a text_config, and model type '{config.model_type}' none", AGAIN)
    return config


def _config_fault(path: str, error: Exception) -> tuple[str, str]:
    """Reason and remedy of a configuration that cannot be read."""
    file = Path(path) / "config.json"
    saved = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    family = saved.get("model_type")
    if family is None and file.is_file():
        return "its config.json names no model_type", "save the model with transformers again, or name its type there"
    if saved.get("auto_map") and family not in CONFIG_MAPPING:
        return f"its model type '{family}' needs code that lies in the checkpoint", OWN_CODE
    if family is not None and family not in CONFIG_MAPPING:
        return f"transformers does not know its model type '{family}'", "choose a model type that transformers knows"
    return f"its config.json cannot be read ({first_line(error)})", AGAIN


def embedding_rows(path: str) -> int:
    """How many tokens a checkpoint has embeddings for."""
    return text_config(read_saved_config(path)).vocab_size


def read_tokenizer(path: str, revision: str | None = None) -> Any:
    """The tokenizer of a checkpoint, one that tells the characters of each token; raises `ModelError` without one.

    A folder has a tokenizer.json, or a SentencePiece model (tokenizer.model) that is converted to the same token ids.
    """
    folder = Path(path)
    if folder.is_dir() and not (folder / "tokenizer.json").is_file() and not (folder / "tokenizer.model").is_file():
        saved = folder / "tokenizer_config.json"
        if saved.is_file() and "auto_map" in saved.read_text(encoding="utf-8"):
            raise fault(path, "it has no tokenizer.json, and its tokenizer needs code that lies in it", SAVE)
        raise fault(path, "it has no tokenizer.json", SAVE)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
    except Exception as error:  # the libraries under a tokenizer raise bare exceptions
        raise fault(path, f"its tokenizer cannot be read ({first_line(error)})", SAVE) from error
    if not getattr(tokenizer, "is_fast", False):
        raise fault(path, f"its tokenizer ({type(tokenizer).__name__}) gives no character offsets", SAVE)
    if folder.is_dir() and not (folder / "tokenizer.json").is_file():
        check_sentencepiece(path, tokenizer)
    if getattr(tokenizer.backend_tokenizer.model, "dropout", None):
        # Meant for training: it draws other tokens of the same text at every call.
        tokenizer.backend_tokenizer.model.dropout = None
    return tokenizer
