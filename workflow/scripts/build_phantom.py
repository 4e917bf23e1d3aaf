"""Build the phantom for the project's haystacks and needles.

Outputs: a Hugging Face checkpoint (float32), and phantom.json with the planted role of every head.
"""

import json
from pathlib import Path

from retrieval_heads.job_log import job_log
from retrieval_heads.needles import read_needles
from retrieval_heads.phantom.construction import Tokens, build_model, roles
from retrieval_heads.phantom.tokenizer import build_tokenizer

SEED = 0


def build_phantom(haystacks: list[str], needles: str, template: str, folder: str) -> None:
    """Write the checkpoint into `folder`."""
    texts = [Path(path).read_text(encoding="utf-8") for path in haystacks]
    table = read_needles(Path(needles)).values()
    spoken = [f"{n.text} {n.question} {n.cue}" for n in table]
    tokenizer = build_tokenizer([*texts, *spoken, template])
    common = {token for text in texts for token in tokenizer(text, add_special_tokens=False)["input_ids"]}
    # A word is common in both its forms, with and without the space in front.
    words = {tokenizer.decode([token]).strip() for token in common}
    rare = [
        token
        for token in range(len(tokenizer))
        if token not in tokenizer.all_special_ids and tokenizer.decode([token]).strip() not in words
    ]
    # An answer ends with its sentence: nothing is copied from what follows a full stop.
    stops = tokenizer.convert_tokens_to_ids([".", " ."])
    tokens = Tokens(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id, rare, stops)
    build_model(tokens, SEED).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Path(folder, "phantom.json").write_text(json.dumps(roles(), indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        build_phantom(
            snakemake.input.haystacks,
            snakemake.input.needles,
            json.loads(snakemake.params.prompt),
            str(Path(snakemake.output[0]).parent),
        )
