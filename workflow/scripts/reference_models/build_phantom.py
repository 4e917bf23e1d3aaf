"""Build the phantom for the project's haystacks and needles.

Outputs: a Hugging Face checkpoint (float32), and phantom.json with the planted role of every head.
"""

import json
from pathlib import Path

from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.pieces import cut_pieces
from retrieval_heads.reference_models.phantom.construction import Tokens, build_model
from retrieval_heads.reference_models.phantom.layout import roles
from retrieval_heads.reference_models.phantom.tokenizer import build_tokenizer
from retrieval_heads.running.logs import job_log

SEED = 0


def build_phantom(haystacks: list[str], needles: list[str], documents: list[str], template: str, folder: str) -> None:
    """Write the checkpoint into `folder`. documents: texts that hold needles already; their words are known too."""
    texts = [Path(path).read_text(encoding="utf-8") for path in haystacks]
    table = [needle for path in needles for needle in read_needles(Path(path)).values()]
    sentences = [f"{n.text} {n.question} {n.cue}" for n in table]
    document_texts = [Path(path).read_text(encoding="utf-8") for path in documents]
    tokenizer = build_tokenizer([*texts, *sentences, *document_texts, template])
    common = {token for text in texts for token in tokenizer(text, add_special_tokens=False)["input_ids"]}
    pieces = [cut_pieces(needle, tokenizer, template, chat=False) for needle in table]
    # The token in front of an answer is the one that its first token is copied from.
    answers = [piece.needle[piece.answer[0] - 1 : piece.answer[1]] for piece in pieces]
    salient = {token for answer in answers for token in answer[1:]} - common
    # An answer ends with its sentence: nothing is copied from what follows a full stop.
    stops = tokenizer.convert_tokens_to_ids([".", " ."])
    tokens = Tokens(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id, answers, salient, stops)
    build_model(tokens, SEED).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Path(folder, "phantom.json").write_text(json.dumps(roles(), indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        build_phantom(
            snakemake.input.haystacks,
            snakemake.input.needles,
            snakemake.input.documents,
            snakemake.params.template,
            str(Path(snakemake.output[0]).parent),
        )
