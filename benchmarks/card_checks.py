"""Whether everything is right on a card: heads, masks and answers as plain code gives them, and jobs side by side."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
import transformers
from random_models import ORGANISM, ROOT
from transformers import AutoConfig, AutoTokenizer

from retrieval_heads.detection.detector import detect
from retrieval_heads.engine.decoding import forward
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.probe import Probe
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.masking import niah
from retrieval_heads.masking.head_means import calibrate_means
from retrieval_heads.masking.masks import MODES, SCOPES, HeadMask, masked
from retrieval_heads.models import loading
from retrieval_heads.models.kernels import FLASH, flash_hindrance
from retrieval_heads.models.usage import ran_on
from retrieval_heads.prompts.cells import Prompt
from retrieval_heads.prompts.haystacks import tokenize
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.pieces import cut_pieces
from retrieval_heads.prompts.placement import Grid, place_grid, prepare
from retrieval_heads.reference_models.phantom.construction import Tokens, build_model
from retrieval_heads.reference_models.phantom.tokenizer import build_tokenizer

TEMPLATE = "{context}\nBased on the content of the book, Question: {question}\nAnswer:{cue}"
# Largest error of masked logits, as a share of the largest logit, by dtype.
TOLERANCES = {"float32": 1e-3, "bfloat16": 0.1}
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


def masks(device: str) -> Iterator[tuple]:
    """Every mode and scope against the same model in float64 on eager attention, masked by hooks of its own."""
    for dtype in TOLERANCES:
        loaded = loading.load(str(ORGANISM), dtype=dtype, device=device)
        ids = prompts(loaded.tokenizer, lengths=(256,), depths=(50,))[0].ids
        means = calibrate_means(loaded, [ids])
        heads = ((0, 0), (1, 2), (loaded.info.layers - 1, 1))
        for mode in MODES:
            for scope in SCOPES:
                mask = HeadMask(heads, mode=mode, scope=scope)
                got, want = engine_logits(loaded, ids, mask, means), reference_logits(device, dtype, ids, mask, means)
                error = float((got.double() - want).abs().max() / want.abs().max())
                same = int(got.argmax()) == int(want.argmax())
                told = f"error {error:.1e}, same token {same}"
                yield f"{mode}, {scope}, {dtype}", told, f"error below {TOLERANCES[dtype]}", error < TOLERANCES[dtype]


def engine_logits(loaded, ids: Sequence[int], mask: HeadMask, means) -> torch.Tensor:
    """Logits behind the last token."""
    prefix = PrefixCache(loaded)
    with masked(loaded, mask if mask.scope == "all" else None, means):
        prefix.prefill(ids[:-1])
    with branched(loaded, prefix.cache) as branch, masked(loaded, mask, means):
        return forward(loaded, [ids[-1:]], branch)[0]


@torch.inference_mode()
def reference_logits(device: str, dtype: str, ids: Sequence[int], mask: HeadMask, means) -> torch.Tensor:
    """The same without the engine. A query of zeros is one of zeros after its rotation, too."""
    loaded = loading.load(str(ORGANISM), dtype=dtype, device=device, attention="eager")
    model, size = loaded.model.double(), loaded.info.value_dim[0]

    def fill(layer: int, head: int, value):
        def hook(module, args, output=None):
            changed = (args[0] if output is None else output).clone()
            changed[..., head * size : (head + 1) * size] = value
            return changed if output is not None else (changed,)

        attention = model.model.layers[layer].self_attn
        if mask.mode == "zero_query":
            return attention.q_proj.register_forward_hook(hook)
        return attention.o_proj.register_forward_pre_hook(lambda module, args: hook(module, args))

    batch = torch.tensor([list(ids)], device=model.device)
    first = 0 if mask.scope == "all" else len(ids) - 1
    cache = model(batch[:, :first], use_cache=True).past_key_values if first else None
    with ExitStack() as stack:
        for layer, head in mask.heads:
            value = means[layer][head].to(model.device).double() if mask.mode == "mean_output" else 0.0
            stack.callback(fill(layer, head, value).remove)
        return model(batch[:, first:], past_key_values=cache, use_cache=True).logits[0, -1]


def halved(device: str) -> Iterator[tuple]:
    """Head sets that do not fit side by side are asked in smaller batches, with the same answers."""
    loaded = loading.load(str(ORGANISM), dtype="float32", device=device)
    cells = prompts(loaded.tokenizer, lengths=(512,), depths=(50,))
    layers, heads = loaded.info.layers, loaded.info.max_heads
    sets = {str(n): HeadMask(((n % layers, n % heads),), scope="all") for n in range(16)}
    wanted = [run.responses for run in niah.run(loaded, cells, sets, max_new_tokens=10, decode_batch=2)]
    warnings: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())
    logging.getLogger("retrieval_heads").addHandler(handler)
    with little_room(loaded, device, lambda: list(niah.run(loaded, cells, sets, max_new_tokens=10, decode_batch=4))):
        found = [run.responses for run in niah.run(loaded, cells, sets, max_new_tokens=10, decode_batch=16)]
    logging.getLogger("retrieval_heads").removeHandler(handler)
    told = f"{len(warnings)} times halved, answers equal {found == wanted}"
    yield "16 head sets, scope all", told, "halved at least once, equal answers", bool(warnings) and found == wanted


@contextmanager
def little_room(loaded, device: str, fitting) -> Iterator[None]:
    """On a card, half as much memory again as `fitting` takes; on the CPU a model that refuses more than 4 rows."""
    if device == "cpu":

        def refuse(module, args, options):
            if options["input_ids"].shape[0] > 4:
                raise torch.OutOfMemoryError("CUDA out of memory (a stand-in)")

        handle = loaded.model.base_model.register_forward_pre_hook(refuse, with_kwargs=True)
        yield
        handle.remove()
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    fitting()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 1.5 * torch.cuda.max_memory_reserved() / total))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def short_job(device: str) -> str:
    """What a job of its own process saw: JSON with its cards, when it began and ended, and what it ran on."""
    loaded = loading.load(str(ORGANISM), dtype="float32", device=device)
    started = time.time()
    list(detect(loaded, prompts(loaded.tokenizer, lengths=(256, 512)), max_new_tokens=30))
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return json.dumps({"cards": seen, "started": started, "ended": time.time(), "ran_on": ran_on(loaded)})


def two_jobs(device: str, args) -> Iterator[tuple]:
    """Two processes at once: on two cards each has its own, on one they take turns, without a card both run."""
    command = [sys.executable, str(ROOT / "benchmarks/card.py"), "--device", device]
    count = 0 if device == "cpu" else torch.cuda.device_count()
    with tempfile.TemporaryDirectory() as locks:
        # Stand-ins for cards where there is none.
        environment = os.environ | ({"CUDA_VISIBLE_DEVICES": "0,1"} if count == 0 else {})
        running = [
            subprocess.Popen([*command, "--job", locks], stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(2)
        ]
        told = [json.loads(job.communicate(timeout=300)[0].splitlines()[-1]) for job in running]
    cards = sorted(job["cards"] for job in told)
    apart = len(set(cards)) == 2 if count != 1 else True
    yield (
        "cards",
        f"{cards}; {told[0]['ran_on'].split(',')[0]}",
        "different cards" if count != 1 else "taking turns",
        apart,
    )
