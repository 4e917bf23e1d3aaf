"""Models that are measured: a checkpoint, or random weights in a shape on the organism's tokenizer."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))
from retrieval_heads.models import loading as models  # noqa: E402
from retrieval_heads.models.kernels import fastest_kernel  # noqa: E402

ORGANISM = ROOT / "resources" / "models" / "organism"
# Hidden size, feed-forward width, layers, heads.
SHAPES = {
    "small": (512, 1408, 8, 16),
    "wide": (1024, 2816, 16, 32),
    "llama-2-7b": (4096, 11008, 32, 32),
}


def checkpoint(path: Path, device: str, dtype: str) -> models.Loaded:
    """A checkpoint folder, or a GGUF file, which is converted into a folder that is thrown away."""
    if path.is_dir():
        return models.load(str(path), device=device, dtype=dtype)
    # Here: `card.py` also runs with versions of transformers that do not read GGUF files as these lines need it.
    from retrieval_heads.sources.gguf.checkpoint import convert

    with tempfile.TemporaryDirectory() as folder:
        convert(path, Path(folder), dtype, "--model")
        return models.load(folder, device=device, dtype=dtype)


def random_llama(shape: str, longest: int, device: str, dtype: str) -> models.Loaded:
    """A Llama with random weights; `shape` is one of SHAPES, `longest` its window in tokens."""
    torch.manual_seed(0)
    hidden, inner, layers, heads = SHAPES[shape]
    tokenizer = AutoTokenizer.from_pretrained(ORGANISM)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=longest,
        eos_token_id=tokenizer.eos_token_id,
    )
    kernel = fastest_kernel(config, device, dtype)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), attn_implementation=kernel)
    return models.wrap(model, tokenizer)
