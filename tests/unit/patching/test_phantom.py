"""The phantom: its planted heads restore all of the answer, any others nothing, in both directions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from build_phantom import build_phantom

from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models import loading
from retrieval_heads.patching.candidates import candidates
from retrieval_heads.patching.counterparts import counterpart_prompt, match_counterpart
from retrieval_heads.patching.runs import CEILING, FLOOR, SOURCE, run
from retrieval_heads.patching.tables import patched_curve
from retrieval_heads.prompts.haystacks import tokenize
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.placement import Grid, cut_pieces, place_grid
from retrieval_heads.reference_models.phantom.layout import HEADS, LAYERS, PLANTED
from unit.tokenizers_at_hand import ROOT, TEMPLATE

HAYSTACKS = sorted(ROOT.glob("resources/haystacks/*.txt"))
NEEDLES = read_needles(ROOT / "resources/needles.tsv")
NAMES = ["kite", "soup", "password", "hobby", "treasure", "rule"]
OTHERS = [(layer, head) for layer in range(LAYERS) for head in range(HEADS) if (layer, head) not in PLANTED]
# Percent: heads that do nothing in particular add a little to every logit.
LITTLE = 0.1


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> pd.DataFrame:
    folder: Path = tmp_path_factory.mktemp("phantom")
    build_phantom(
        [str(path) for path in HAYSTACKS], [str(ROOT / "resources/needles.tsv")], NAMES, [], TEMPLATE, str(folder)
    )
    loaded = loading.load(str(folder))
    pairs = []
    for needle, path in zip(("hobby", "treasure", "rule"), HAYSTACKS, strict=True):
        pieces = cut_pieces(NEEDLES[needle], loaded.tokenizer, TEMPLATE, chat=False)
        found = match_counterpart(NEEDLES[needle], candidates(NEEDLES[needle], NEEDLES, 0), loaded.tokenizer, pieces)
        straw = tokenize(path.stem, path.read_text(encoding="utf-8"), loaded.tokenizer)
        placed = place_grid(needle, straw, pieces, Grid((256,), (0, 50), 128, 50, False))
        pairs += [(prompt, counterpart_prompt(prompt, found)) for prompt in placed]
    sets = {"planted": HeadMask(tuple(PLANTED)), "others": HeadMask(tuple(OTHERS))}
    sets |= {f"{layer}-{head}": HeadMask(((layer, head),)) for layer, head in OTHERS}
    kinds = dict.fromkeys([SOURCE, FLOOR, CEILING, "planted", "others"])
    rows = []
    for result in run(loaded, pairs, sets, what=("outputs", "weights")):
        cell = {name: getattr(result.cell, name) for name in ("needle", "length", "depth")}
        for direction, patched in result.measured.items():
            for what, measured in patched.items():
                for name, values in measured.items():
                    kind = name if name in kinds else "single"
                    own = {"direction": direction, "what": what, "head_set": name, "kind": kind, "k": 0}
                    rows.append({**own, **cell, **values})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("what", ["outputs", "weights"])
@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_planted_heads_restore_all_and_others_nothing(runs, direction, what):
    part = runs[(runs["direction"] == direction) & (runs["what"] == what)]
    curve = patched_curve(part, draws=50).set_index("kind")
    wanted = {SOURCE: 100, FLOOR: 0, CEILING: 100, "planted": 100, "others": 0, "single": 0}
    if what == "weights":
        # Told where to look, the planted heads copy what stands there in the base: the other answer.
        assert curve.loc["planted", "share"] < -10
        wanted |= {kind: curve.loc["planted", "share"] for kind in (CEILING, "planted")}
    assert curve["share"].to_dict() == pytest.approx(wanted, abs=LITTLE)
    assert curve["greedy"].to_dict() == {kind: 100 * (share > 50) for kind, share in wanted.items()}
