"""Means of heads: what they are, from which prompts, and how much memory they take."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import tiny_models
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from retrieval_heads.engine import prefill
from retrieval_heads.masking import head_means
from retrieval_heads.masking.head_means import calibrate_means, calibration_key
from retrieval_heads.prompts.haystacks import Haystack

SCRIPTS = Path(__file__).parents[3] / "workflow/scripts/masking"
IDS = torch.randint(2, 94, (60,), generator=torch.Generator().manual_seed(3)).tolist()


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_oss", "jamba"])
def test_means_are_those_of_the_projections_inputs(family):
    loaded, seen = tiny_models.loaded(family), {}
    handles = [
        module.register_forward_pre_hook(lambda _, args, layer=layer: seen.setdefault(layer, []).append(args[0][0]))
        for layer, module in loaded.info.projections.items()
    ]
    with torch.no_grad():
        for ids in (IDS[:20], IDS[20:]):
            loaded.model(torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    for layer, mean in calibrate_means(loaded, [IDS[:20], IDS[20:]]).items():
        assert torch.allclose(mean.flatten(), torch.cat(seen[layer]).double().mean(0).float(), atol=1e-5)


def test_eager_families_are_prefilled_in_blocks(monkeypatch):
    """No matrix of queries x keys over the whole prompt."""
    monkeypatch.setattr(prefill, "EAGER_BLOCK_TOKENS", 8)
    loaded, widths = tiny_models.loaded("gemma2"), []
    module = next(iter(loaded.info.projections.values()))
    handle = module.register_forward_pre_hook(lambda _, args: widths.append(args[0].shape[1]))
    calibrate_means(loaded, [IDS])
    handle.remove()
    assert max(widths) == 8 and sum(widths) == len(IDS)


class Float64(TorchDispatchMode):
    """Notes the largest float64 tensor that is made, in values."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
            self.largest = max(self.largest, result.numel())
        return result


def test_no_float64_copy_of_a_long_prompt(monkeypatch):
    monkeypatch.setattr(head_means, "SUMMED", 16)
    with Float64() as seen:
        calibrate_means(tiny_models.loaded("llama"), [IDS])
    assert seen.largest == 16 * 32


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    sys.modules.pop("run_masked_niah", None)
    import run_masked_niah

    return run_masked_niah


def job(script, folder: Path, monkeypatch, needle: str, calls: list) -> dict[str, str]:
    """Run the script on three needles or one; returns the keys of the finished cells by name."""
    prompts = {name: tiny_models.prompts(lengths=(48,), depths=(0, 100)) for name in ("a", "b", "c")}
    rows = [
        {"needle": name, "length": 48, "depth": depth, "number": number}
        for name in prompts
        for number, depth in enumerate((0, 100))
    ]
    folder.mkdir()
    pd.DataFrame(rows).to_csv(folder / "placement.tsv", sep="\t", index=False)

    def assembled(cells, texts, pieces):
        made = [prompts[cell["needle"]][cell["number"]] for cell in cells]
        named = zip(made, cells, strict=True)
        first = {"a": 10, "b": 11, "c": 12}
        return [
            replace(p, ids=(first[c["needle"]], *p.ids[1:]), cell=replace(p.cell, needle=c["needle"])) for p, c in named
        ]

    def calibrated(loaded, sequences):
        calls.append([tuple(ids) for ids in sequences])
        return calibrate_means(loaded, sequences)

    monkeypatch.setattr(script, "assemble", assembled)
    monkeypatch.setattr(script, "load", lambda path: {"haystack": Haystack})
    monkeypatch.setattr(script, "calibrate_means", calibrated)
    monkeypatch.setattr(script.loading, "load", lambda *args, **spec: tiny_models.loaded("llama"))
    answers = {name: SimpleNamespace(answer="w5") for name in prompts}
    monkeypatch.setattr(script, "read_needles", lambda path: answers)
    for name, content in (("model", {"files": {}}), ("pieces", {}), ("head_sets", [])):
        (folder / f"{name}.json").write_text(json.dumps(content))
    sets = [{"name": "top-1", "kind": "top", "k": 1, "seed": None, "heads": [[0, 1]]}]
    (folder / "head_sets.json").write_text(json.dumps(sets))
    names = ("model", "pieces", "head_sets")
    inputs = SimpleNamespace(
        **{name: folder / f"{name}.json" for name in names},
        placement=folder / "placement.tsv",
        haystacks="none",
        needles="none",
    )
    masking = json.dumps({"mode": "mean_output", "scope": "decode", "unit": "head"})
    params = SimpleNamespace(
        checkpoint="none", spec="{}", folder=folder, needle=needle, max_new_tokens=2, masking=masking, batch=4
    )
    params.success_recall, params.quirks, params.code = 50, [], "code"
    logger = SimpleNamespace(info=lambda *args: None)
    script.run_masked_niah(inputs, params, SimpleNamespace(runs=folder / "runs.tsv"), 1, logger)
    return {file.stem: json.loads(file.read_text()) for file in (folder / "runs").glob("*.json")}


def test_a_shard_and_a_resumed_job_take_the_means_of_the_whole(script, tmp_path, monkeypatch):
    calls: list = []
    whole = job(script, tmp_path / "whole", monkeypatch, "", calls)
    shard = job(script, tmp_path / "shard", monkeypatch, "c", calls)
    assert calls[0] == calls[1] and len({ids[0] for ids in calls[0]}) == 3
    assert shard == {name: whole[name] for name in shard} and len(shard) == 2
    assert whole["c_48_0"]["means_from"] == ["a_48_0", "a_48_100", "b_48_0", "b_48_100", "c_48_0", "c_48_100"]


def test_other_calibration_prompts_are_another_key():
    assert calibration_key([IDS]) != calibration_key([IDS[:-1]]) != calibration_key([])
