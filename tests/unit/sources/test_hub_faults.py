"""Errors of the hub in one sentence each."""

from __future__ import annotations

from typing import ClassVar

import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from retrieval_heads.sources.hub_auth import GatedModelError
from retrieval_heads.sources.hub_faults import HubError, hub_faults


class Answer:
    """What an error of the hub keeps of the answer that it is about."""

    headers: ClassVar[dict] = {}
    request = None


FAULTS = {
    "gated": (GatedRepoError("no", response=Answer), GatedModelError, "models.mine.hub: 'a/b' is gated"),
    "revision": (
        RevisionNotFoundError("no", response=Answer),
        HubError,
        "models.mine.revision: 'a/b' has no revision 'v1'",
    ),
    "name": (RepositoryNotFoundError("no", response=Answer), HubError, "models.mine.hub: the hub has no 'a/b', or not"),
    "server": (HfHubHTTPError("503 busy", response=Answer), HubError, r"'a/b' could not be fetched from the hub \(503"),
    "network": (
        LocalEntryNotFoundError("no network"),
        HubError,
        r"could not be fetched from the hub \(no network\); look",
    ),
    "closed": (
        ConnectionError("refused"),
        HubError,
        r"could not be fetched from the hub \(refused\); look at the network",
    ),
}


@pytest.mark.parametrize(("error", "kind", "message"), FAULTS.values(), ids=FAULTS)
def test_each_error_names_the_key_and_the_remedy(error, kind, message):
    with pytest.raises(kind, match=message), hub_faults("models.mine", "a/b", "v1"):
        raise error


def test_other_errors_stay_what_they_are():
    with pytest.raises(ZeroDivisionError), hub_faults("models.mine", "a/b", "v1"):
        raise ZeroDivisionError
