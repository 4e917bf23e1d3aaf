"""What the machine is, and whether a card finds the heads that plain code finds."""

from __future__ import annotations

import importlib.util
import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import transformers
from random_models import ORGANISM, ROOT
from transformers import AutoConfig, AutoTokenizer

from retrieval_heads.detection.detector import detect
from retrieval_heads.detection.scores import Probe
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.models import loading
from retrieval_heads.models.kernels import FLASH, flash_hindrance
from retrieval_heads.prompts.cells import Prompt
from retrieval_heads.prompts.haystacks import tokenize
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.placement import Grid, cut_pieces, place_grid, prepare
from retrieval_heads.reference_models.phantom.construction import Tokens, build_model
from retrieval_heads.reference_models.phantom.tokenizer import build_tokenizer

TEMPLATE = "{context}\nBased on the content of the book, Question: {question}\nAnswer:{cue}"
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def default_device() -> str:
    """The first card, or the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def machine(device: str) -> Iterator[tuple]:
    """What the machine is."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}"
    flash = "with" if importlib.util.find_spec("flash_attn") else "without"
    yield "software", f"{versions}, CUDA {torch.version.cuda}, {flash} flash-attn", "", None
    if device == "cpu":
        yield "device", f"{torch.get_num_threads()} of {os.cpu_count()} CPU cores, no card", "", None
        return
    for card in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(card)
        memory = f"{found.total_memory / 1e9:.1f} GB, capability {found.major}.{found.minor}"
        yield f"card {card}", f"{found.name}, {memory}", "", None


def prompts(tokenizer, lengths: Sequence[int] = (512,), depths: Sequence[int] = (0, 50, 100)) -> list[Prompt]:
    """Cells of the project's first needle in one of its haystacks."""
    needle = next(iter(read_needles(ROOT / "resources/needles.tsv").values()))
    text = (ROOT / "resources/haystacks/town.txt").read_text(encoding="utf-8")
    grid = Grid(tuple(lengths), tuple(depths), 128, 50, True)
    pieces = cut_pieces(needle, tokenizer, TEMPLATE, False)
    haystack = prepare(needle.needle, tokenize("town", text, tokenizer), pieces, grid, None)
    return list(place_grid(needle.needle, haystack, pieces, grid))


def build_phantom(folder: Path) -> None:
    """The phantom for the first needle and haystack, as a checkpoint."""
    needle = next(iter(read_needles(ROOT / "resources/needles.tsv").values()))
    text = (ROOT / "resources/haystacks/town.txt").read_text(encoding="utf-8")
    tokenizer = build_tokenizer([text, f"{needle.text} {needle.question} {needle.cue}", TEMPLATE])
    common = set(tokenizer(text, add_special_tokens=False)["input_ids"])
    piece = cut_pieces(needle, tokenizer, TEMPLATE, chat=False)
    answer = piece.needle[piece.answer[0] - 1 : piece.answer[1]]
    stops = tokenizer.convert_tokens_to_ids([".", " ."])
    special = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    tokens = Tokens(len(tokenizer), *special, [answer], set(answer[1:]) - common, stops)
    build_model(tokens, 0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def same_heads(device: str, small: bool) -> Iterator[tuple]:
    """Organism and phantom on every kernel and dtype: heads, and argmax of attention, against eager attention."""
    with tempfile.TemporaryDirectory() as folder:
        build_phantom(Path(folder))
        for name, path in (("organism", str(ORGANISM)), ("phantom", folder)):
            grid = {"lengths": (256,), "depths": (50,)} if small else {}
            cells = prompts(AutoTokenizer.from_pretrained(path), **grid)
            for dtype in ("float32", "bfloat16"):
                eager = loading.load(path, dtype=dtype, device=device, attention="eager")
                heads, looked = found_heads(eager, cells), [eager_argmax(eager, cell) for cell in cells]
                for kernel in kernels(path, dtype):
                    loaded = loading.load(path, dtype=dtype, device=device, attention=kernel)
                    found = found_heads(loaded, cells)
                    pairs = zip([engine_argmax(loaded, cell) for cell in cells], looked, strict=True)
                    equal = float(torch.cat([(a == b).flatten() for a, b in pairs]).float().mean())
                    told = f"heads {found}, argmax equal {equal:.2%}"
                    # In bfloat16 weights may tie.
                    least = 1.0 if dtype == "float32" else 0.95
                    right = found == heads and equal >= least
                    yield f"{name}, {dtype}, {kernel}", told, f"heads {heads}, argmax {least:.0%}", right


def kernels(path: str, dtype: str) -> list[str]:
    """SDPA, and flash-attn where it can be used."""
    return ["sdpa", *([] if flash_hindrance(AutoConfig.from_pretrained(path), dtype) else [FLASH])]


def found_heads(loaded: loading.Loaded, cells: Sequence[Prompt]) -> str:
    """Heads with a mean score above 0.1, as layer-head."""
    tables = [result.scores for result in detect(loaded, cells, max_new_tokens=30, scores=("copy_count",))]
    means = sum(table.set_index(["layer", "head"])["copy_count"] for table in tables) / len(tables)
    return " ".join(f"{layer}-{head}" for layer, head in means[means > 0.1].index)


def answer_fed(prompt: Prompt) -> list[int]:
    """The last prompt token and the answer: what is fed, so that all kernels see the same."""
    return [prompt.ids[-1], *prompt.ids[prompt.cell.answer_start : prompt.cell.answer_end]]


def engine_argmax(loaded: loading.Loaded, prompt: Prompt) -> torch.Tensor:
    """Position that every head attends to most, [tokens, layers, heads], by the probe."""
    prefix, probe = PrefixCache(loaded), Probe(loaded.info, (0, 1))
    prefix.prefill(prompt.ids[:-1])
    with branched(loaded, prefix.cache, listeners=[probe]) as branch:
        for token in answer_fed(prompt):
            forward(loaded, [[token]], branch)
    return probe.reading().argmax


@torch.inference_mode()
def eager_argmax(loaded: loading.Loaded, prompt: Prompt) -> torch.Tensor:
    """The same out of transformers' own attention matrices."""
    batch = torch.tensor([list(prompt.ids)], device=loaded.model.device)
    cache, looked = loaded.model(batch[:, :-1], use_cache=True).past_key_values, []
    for token in answer_fed(prompt):
        step = torch.tensor([[token]], device=batch.device)
        rows = loaded.model(step, past_key_values=cache, use_cache=True, output_attentions=True).attentions
        looked.append(torch.stack([row[0, :, -1].float().argmax(-1) for row in rows]).cpu())
    return torch.stack(looked)
