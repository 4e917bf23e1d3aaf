"""A checkpoint with zeroed heads answers as the model does under the mask, and loads without the project's code."""

from __future__ import annotations

import json

import pytest
import tiny_models
import torch
from transformers import AutoModelForCausalLM

from retrieval_heads.masking.checkpoint_export import export_masked
from retrieval_heads.masking.head_set_files import read_head_sets
from retrieval_heads.masking.head_sets import HeadSetError
from retrieval_heads.masking.masks import HeadMask, MaskError, masked
from retrieval_heads.models import loading as models

# GPT-2's weights are transposed, Phi's projection has a bias, GPT-OSS attends to sinks, Qwen3-Next is a hybrid.
FAMILIES = ["llama", "gpt2", "phi", "mixtral", "gpt_oss", "qwen3_next", "deepseek_v3", "bitnet"]


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.arange(2, 26)[None]).logits


@pytest.mark.parametrize("unit", ["head", "kv_group"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_exported_checkpoint_equals_the_mask(family, unit, tmp_path):
    attention = "eager" if family == "gpt_oss" else "sdpa"
    loaded = models.wrap(tiny_models.build(family, attention=attention), tiny_models.tokenizer())
    first, *_, last = loaded.info.attention_layers
    mask = HeadMask(((first, 0), (last, 1), (last, 2)), scope="all", unit=unit)
    plain = logits(loaded.model)
    with masked(loaded, mask):
        wanted = logits(loaded.model)
    export_masked(loaded, mask, tmp_path, "chosen")
    found = logits(AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation=attention).eval())
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, plain, atol=1e-2)


def test_only_the_columns_of_the_heads_are_zeroed(tmp_path):
    loaded = models.wrap(tiny_models.build("llama", attention="sdpa"), tiny_models.tokenizer())
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    export_masked(loaded, HeadMask(((1, 3),)), tmp_path, "chosen")
    changed = [name for name, weight in loaded.model.state_dict().items() if not torch.equal(weight, before[name])]
    assert changed == ["model.layers.1.self_attn.o_proj.weight"]
    weight = loaded.model.state_dict()[changed[0]]
    assert not weight[:, 24:32].any()
    assert torch.equal(weight[:, :24], before[changed[0]][:, :24])
    assert json.loads((tmp_path / "masked_heads.json").read_text()) == {
        "head_set": "chosen",
        "unit": "head",
        "heads": [[1, 3]],
    }


def test_a_head_that_is_not_there_is_refused(tmp_path):
    loaded = models.wrap(tiny_models.build("llama", attention="sdpa"), tiny_models.tokenizer())
    with pytest.raises(MaskError, match="head 1-9 does not exist"):
        export_masked(loaded, HeadMask(((1, 9),)), tmp_path, "chosen")


HEADS = {0: 4, 1: 4}


def written(tmp_path, content):
    file = tmp_path / "sets.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def test_both_forms_of_a_file_are_read(tmp_path):
    short = read_head_sets(written(tmp_path, {"theirs": ["1-3", [0, 2]]}), HEADS)
    assert short == [{"name": "theirs", "kind": "theirs", "k": 2, "seed": None, "heads": [[0, 2], [1, 3]]}]
    own = [{"name": "random-1-0", "kind": "random", "k": 1, "seed": 0, "heads": [[1, 1]]}]
    assert read_head_sets(written(tmp_path, own), HEADS) == own


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1,", "is no JSON"),
        ([], "holds no sets"),
        ({"a": ["1-9"]}, "set 'a': head 1-9 does not exist in this model"),
        ({"a": ["2-0"]}, "set 'a': head 2-0 does not exist in this model"),
        ({"a": ["one"]}, "set 'a': \"one\" is no head"),
        ({"a": [[1]]}, r"set 'a': \[1\] is no head"),
        ({"a/b": [[0, 0]]}, "set 'a/b': a name is made of letters"),
        ({"unmasked": [[0, 0]]}, "is not 'unmasked'"),
        ({"none": [[0, 0]]}, "the name is not 'none'"),
        ([{"name": "a", "kind": "none", "heads": [[0, 0]]}], "set 'a': the kind is not 'none'"),
        ({"All": [[0, 0]]}, "the name is not 'All'"),
        ({"NA": [[0, 0]]}, "tables read the name 'NA'"),
        ({"null": [[0, 0]]}, "tables read the name 'null'"),
        ({"007": [[0, 0]]}, "tables read the name '007'"),
        ({"a": []}, "set 'a': its heads are no list with a head in it"),
        ({"a": [[True, False]]}, r"set 'a': \[true, false\] is no head"),
        ('{"a": [[0, 0]], "a": [[0, 1]]}', "names 'a' twice"),
        ([{"name": "a", "heads": [[0, 0]]}, {"name": "a", "heads": [[0, 1]]}], "names 'a' twice"),
    ],
)
def test_a_faulty_file_is_refused(tmp_path, content, message):
    with pytest.raises(HeadSetError, match=message):
        read_head_sets(written(tmp_path, content), HEADS)
