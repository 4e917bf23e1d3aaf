"""Write the study on one page.

Inputs: the figures as SVG, the tables that a person reads, the attention of a few heads, the captions. Output:
results/study.html, which needs no other file and no network.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import yaml

from retrieval_heads.figures.html_tables import CLAIMS, CONTRAST, MODELS, RANKING, Readable, as_html, best_heads
from retrieval_heads.figures.labels import full_labels
from retrieval_heads.figures.study_page import Figure, attention_views, captions, embedded, write_study_page
from retrieval_heads.running.logs import job_log
from retrieval_heads.running.provenance import git_state

# Heads of a model in the table of the page.
SHOWN = 10


def write(inputs, params, repository: Path, output: str) -> None:
    """Fill the page with what the tables say."""
    labels, titles = full_labels(json.loads(params.labels), inputs.models, params.score), json.loads(params.titles)
    config = json.loads(params.config)
    tables = {Path(path).stem: _table(path, labels) for path in inputs.tables}
    texts = captions(Path(inputs.captions), list(titles))
    figures = [
        Figure(title, texts[name], embedded(Path(svg)), f"results/figures/{name}.tsv")
        for (name, title), svg in zip(titles.items(), inputs.figures, strict=True)
    ]
    content = {
        "models": list(labels.values()),
        "claims": as_html(tables["claims"], CLAIMS),
        "figures": figures,
        "tables": [{"title": kind.title, "html": as_html(table, kind)} for kind, table in _shown(tables)],
        "attention": attention_views({labels[path.parts[-3]]: path for path in map(Path, inputs.patterns)}),
        "settings": json.loads(params.settings),
        "commit": git_state(repository)["commit"],
        "config": yaml.safe_dump(config, default_flow_style=None, width=100, allow_unicode=True),
    }
    write_study_page(Path(output), Path(inputs.template), content)


def _table(path: str, labels: dict[str, str]) -> pd.DataFrame:
    """A table with the labels of its models in the place of their names."""
    table = pd.read_csv(path, sep="\t")
    return table.assign(model=table["model"].map(labels))


def _shown(tables: dict[str, pd.DataFrame]) -> Iterator[tuple[Readable, pd.DataFrame]]:
    """The tables behind the figures, as they are read."""
    yield MODELS, tables["models"]
    if "masked_contrast" in tables:
        yield CONTRAST, tables["masked_contrast"]
    yield RANKING, best_heads(tables["head_scores"], SHOWN)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        write(snakemake.input, snakemake.params, Path(snakemake.scriptdir).parents[2], snakemake.output[0])
