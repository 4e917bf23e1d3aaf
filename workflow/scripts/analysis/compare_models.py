"""Compare the head scores of all models, made here or elsewhere, in long tables.

Outputs, in results/tables (columns: the functions named):
  models             one row a model: cells, retrieval heads, reliability (model_tables.model_table)
  head_scores        the rankings of all models, made with their scores (head_scores.ranking.rank_heads)
  score_bins         share of heads by score (model_tables.score_bins)
  model_agreement    every pair of models (model_tables.model_agreement)
  stability          top heads of a few cells against those of all (stability.rank_stability)
  threshold_sweep    retrieval heads by threshold (thresholds.threshold_sweep)
  needle_agreement   every pair of needles (reliability.needle_agreement)
  needle_counts      retrieval heads by needle (reliability.needle_counts)
  head_locations     retrieval heads by layer and KV group (layer_distribution.locations)
and as pages models and best_heads.
"""

from pathlib import Path

import pandas as pd

from retrieval_heads.analysis.layer_distribution import locations
from retrieval_heads.analysis.model_tables import model_agreement, model_table, per_model, score_bins
from retrieval_heads.analysis.reliability import needle_agreement, needle_counts
from retrieval_heads.analysis.stability import rank_stability
from retrieval_heads.analysis.thresholds import threshold_sweep
from retrieval_heads.figures.html_tables import MODELS, RANKING, best_heads, write_page
from retrieval_heads.head_scores.formats import own
from retrieval_heads.running.logs import job_log
from retrieval_heads.text_tables import over_models

# Heads of a model on the page.
SHOWN = 20


def compare_models(head_scores: dict[str, str], rankings: dict[str, str], k: int, threshold: float, outputs) -> None:
    """head_scores, rankings: model -> file. k: heads in a top set."""
    found = {model: own.read(Path(path)) for model, path in head_scores.items()}
    ranked = {model: pd.read_csv(path, sep="\t") for model, path in rankings.items()}
    tables = {
        "models": model_table(found, ranked, threshold),
        "head_scores": over_models(ranked),
        "score_bins": score_bins(ranked),
        "model_agreement": model_agreement(found, k, threshold),
        "stability": per_model(found, lambda scores: rank_stability(scores.flat, k)),
        "threshold_sweep": over_models({model: threshold_sweep(scores) for model, scores in found.items()}),
        "needle_agreement": per_model(found, lambda s: needle_agreement(s.flat, s.needles, k, threshold)),
        "needle_counts": per_model(found, lambda scores: needle_counts(scores.flat, scores.needles, threshold)),
        "head_locations": over_models({model: locations(table, threshold) for model, table in ranked.items()}),
    }
    for output in outputs.tables:
        tables[Path(output).stem].to_csv(output, sep="\t", index=False, float_format="%.6g")
    write_page(tables["models"], MODELS, outputs.models_page)
    write_page(best_heads(tables["head_scores"], SHOWN), RANKING, outputs.heads_page)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        models = snakemake.params.models
        compare_models(
            dict(zip(models, snakemake.input.head_scores, strict=True)),
            dict(zip(models, snakemake.input.rankings, strict=True)),
            snakemake.params.k,
            snakemake.params.threshold,
            snakemake.output,
        )
