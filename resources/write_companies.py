"""Write the made-up companies of the sum-attention study: their records, and a report about each that holds its facts.

Input: resources/sum_attention/{companies.yaml, tasks.tsv}. Outputs beside them: records.tsv (record, company and a
column for each task) and reports/<record>.txt. Run it as `python resources/write_companies.py`; it writes the
same files at every run.
"""

import random
from pathlib import Path

import pandas as pd
import yaml
from write_haystacks import expand

RECORDS, SENTENCES, PARAGRAPH = 50, 44, 6
FOLDER = Path(__file__).parent / "sum_attention"


def write_records(names: dict[str, list[str]], chance: random.Random) -> pd.DataFrame:
    """One row a company; no company, number, chief or product twice."""
    firsts = chance.sample(names["company_first"], RECORDS)
    chiefs = chance.sample([f"{a} {b}" for a in names["first_name"] for b in names["last_name"]], RECORDS)
    products = chance.sample([f"{a} {b}" for a in names["product_first"] for b in names["product_second"]], RECORDS)
    return pd.DataFrame(
        {
            "record": [first.lower() for first in firsts],
            "company": [f"{first} {chance.choice(names['company_second'])}" for first in firsts],
            "employee_count": chance.sample(range(1000, 10_000), RECORDS),
            "hq_state": [chance.choice(names["state"]) for _ in firsts],
            "chief_executive": chiefs,
            "flagship_product": products,
        }
    )


def write_report(grammar: dict[str, list[str]], facts: list[str], chance: random.Random) -> str:
    """Paragraphs about a company's year; the facts stand among them, far apart and in any order."""
    sentences: list[str] = []
    while len(sentences) < SENTENCES:
        sentence = expand(grammar, chance)
        if sentence not in sentences:
            sentences.append(sentence)
    stretch = SENTENCES // len(facts)
    for number, fact in reversed(list(enumerate(chance.sample(facts, len(facts))))):
        sentences.insert(number * stretch + chance.randint(0, stretch - 1), fact)
    paragraphs = [sentences[start : start + PARAGRAPH] for start in range(0, len(sentences), PARAGRAPH)]
    return "\n".join(" ".join(paragraph) for paragraph in paragraphs) + "\n"


def main() -> None:
    """Write the table of records and all reports."""
    grammar = yaml.safe_load((FOLDER / "companies.yaml").read_text(encoding="utf-8"))
    templates = pd.read_csv(FOLDER / "tasks.tsv", sep="\t")["text"]
    records = write_records(grammar, random.Random("records"))
    records.to_csv(FOLDER / "records.tsv", sep="\t", index=False)
    (FOLDER / "reports").mkdir(exist_ok=True)
    for record in records.to_dict("records"):
        facts = [text.format(**record) for text in templates]
        report = write_report(grammar, facts, random.Random(record["record"]))
        (FOLDER / "reports" / f"{record['record']}.txt").write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
