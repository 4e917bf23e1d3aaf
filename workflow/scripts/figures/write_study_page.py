"""Write the study on one page.

Inputs: the figures as SVG, the tables of the findings and claims, the attention of a few heads, the captions. Output:
results/study.html, which needs no other file and no network.
"""

import json
from pathlib import Path

import pandas as pd
import yaml

from retrieval_heads.figures.findings import findings
from retrieval_heads.figures.study_page import (
    Figure,
    attention_views,
    captions,
    claims_table,
    embedded,
    write_study_page,
)
from retrieval_heads.running.logs import job_log
from retrieval_heads.running.provenance import git_state

TABLES = ("models", "head_scores", "threshold_sweep", "masked_curve")


def write(inputs, params, repository: Path, output: str) -> None:
    """Fill the page with what the tables say."""
    labels, titles = json.loads(params.labels), json.loads(params.titles)
    config = json.loads(params.config)
    tables = {Path(path).stem: pd.read_csv(path, sep="\t") for path in inputs.tables}
    texts = captions(Path(inputs.captions), list(titles))
    figures = [
        Figure(title, texts[name], embedded(Path(svg)), f"results/figures/{name}.tsv")
        for (name, title), svg in zip(titles.items(), inputs.figures, strict=True)
    ]
    content = {
        "title": f"Retrieval heads of {', '.join(labels.values())}",
        "models": list(labels.values()),
        "findings": {label: findings(model, tables, params.threshold, params.k) for model, label in labels.items()},
        "claims": claims_table(pd.read_csv(inputs.claims, sep="\t").replace({"model": labels})),
        "figures": figures,
        "attention": attention_views({labels[path.parts[-3]]: path for path in map(Path, inputs.patterns)}),
        "settings": json.loads(params.settings),
        "commit": git_state(repository)["commit"],
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
    }
    write_study_page(Path(output), Path(inputs.template), content)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        write(snakemake.input, snakemake.params, Path(snakemake.scriptdir).parents[2], snakemake.output[0])
