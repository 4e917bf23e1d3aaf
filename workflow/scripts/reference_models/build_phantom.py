"""Build the phantom for the project's haystacks and needles.

Outputs: a Hugging Face checkpoint (float32), and phantom.json with the planted role of every head.
"""

import json
from pathlib import Path

from retrieval_heads.patching.candidates import candidates, with_answer
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.placement import cut_pieces
from retrieval_heads.reference_models.phantom.construction import Tokens, build_model
from retrieval_heads.reference_models.phantom.layout import roles
from retrieval_heads.reference_models.phantom.phrases import phrases
from retrieval_heads.reference_models.phantom.tokenizer import build_tokenizer
from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.text_files import read_text

SEED = 0


def build_phantom(
    haystacks: list[str], needles: list[str], names: list[str], documents: list[str], template: str, folder: str
) -> None:
    """Write the checkpoint into `folder`.

    needles: tables; of the first those in `names`, of others all. documents: texts that hold needles already; their
    words are known too.
    """
    texts = [read_text(path, "haystacks.folder") for path in haystacks]
    first, *others = [read_needles(Path(path)) for path in needles]
    table = [needle for name, needle in first.items() if name in names]
    table += [needle for more in others for needle in more.values()]
    # Behind the needles, so that words of both are copied as without counterparts.
    told = [needle for needle in table if needle.counterpart]
    table += [with_answer(needle, answer) for needle in told for answer in candidates(needle, {}, SEED)]
    sentences = [f"{n.text} {n.question} {n.cue}" for n in table]
    document_texts = [read_text(path, "sum_attention.documents") for path in documents]
    whole = phrases([needle.answer for needle in table], texts)
    tokenizer = build_tokenizer([*texts, *sentences, *document_texts, template], whole)
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
            snakemake.params.names,
            snakemake.input.documents,
            snakemake.params.template,
            str(Path(snakemake.output[0]).parent),
        )
