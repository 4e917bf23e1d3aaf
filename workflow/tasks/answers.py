"""Filters of the task files whose answer is a number or a letter.

Each takes the responses of all items, one list an item, and gives back what they answer. `direct` ones know that the
prompt ends with "The answer is".
"""

from collections.abc import Callable

from retrieval_heads.downstream.tasks.answers import letter, number


def _read(reader: Callable[[str], str], opening: str, resps: list[list[str]]) -> list[list[str]]:
    return [[reader(opening + text) for text in texts] for texts in resps]


def number_reasoned(resps, docs):
    """The number that a response comes to."""
    return _read(number, "", resps)


def number_direct(resps, docs):
    """The number of a response that goes on behind "The answer is"."""
    return _read(number, "The answer is ", resps)


def letter_reasoned(resps, docs):
    """The letter that a response comes to."""
    return _read(letter, "", resps)


def letter_direct(resps, docs):
    """The letter of a response that goes on behind "The answer is"."""
    return _read(letter, "The answer is ", resps)
