"""The log of a job: what it did, and its error as the last lines.

A fault that the user can mend (any ValueError of this package says the key and the remedy) is shown without a
traceback; every other error keeps it. Values of secret environment variables (HF_TOKEN) are blacked out, whichever
library writes them.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval_heads.running.environment import check_own_libraries
from retrieval_heads.running.redaction import redacted


class _Redacting(logging.Formatter):
    """Lines of a log without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


@contextmanager
def job_log(path: str) -> Iterator[logging.Logger]:
    """Collect the messages of a job in `path`; on an error, write it there and to the terminal, and exit with 1."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(_Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger()
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logging.captureWarnings(True)
    try:
        check_own_libraries()
        yield logger
    except Exception as error:
        ours = isinstance(error, ValueError) and type(error).__module__.startswith("retrieval_heads")
        text = redacted(f"{type(error).__name__}: {error}" if ours else traceback.format_exc())
        logger.error(text)
        print(f"\n{text}\n(the whole log: {path})", file=sys.stderr)
        raise SystemExit(1) from error
    finally:
        logger.removeHandler(handler)
        handler.close()
