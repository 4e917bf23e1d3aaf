"""Write the head scores of one model for other tools.

Output, by its name: envelope.json ({"meta": ..., "scores": ...}), qrhead.json (QRHead's ranked list) or
full_attention_heads.tsv (DuoAttention's table of KV heads).
"""

import json
from pathlib import Path

from retrieval_heads.head_scores.formats import duoattention, envelope, own, qrhead
from retrieval_heads.head_scores.scores import sidecar
from retrieval_heads.running.logs import job_log


def export_scores(head_score: str, output: str) -> None:
    """Write one file; the released format is `head_score` itself."""
    head_scores, path = own.read(Path(head_score)), Path(output)
    if path.name == "envelope.json":
        envelope.write(path, head_scores, json.loads(sidecar(Path(head_score)).read_text(encoding="utf-8")))
    elif path.name == "qrhead.json":
        qrhead.write(path, head_scores)
    else:
        duoattention.write(path, head_scores)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        export_scores(snakemake.input.head_score, snakemake.output[0])
