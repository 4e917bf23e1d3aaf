"""What goes wrong with the hub, in one sentence: a token is wanted, a name is wrong, the network is not there.

Apart from `hub_auth`, which also serves jobs that load no library of the hub.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import (
    GatedRepoError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from retrieval_heads.sources.hub_auth import refused


class HubError(ValueError):
    """Something that the hub does not give; the message names the key, the repository and the remedy."""


@contextmanager
def hub_faults(key: str, hub: str, revision: str) -> Iterator[None]:
    """Raise `GatedModelError` or `HubError` for errors of the hub's libraries.

    key: of the config, without its last part: `models.mine`. hub: owner/name. revision: as the config gives it.
    """
    try:
        yield
    except GatedRepoError as error:
        raise refused(f"{key}.hub", hub) from error
    except RevisionNotFoundError:
        raise HubError(f"{key}.revision: '{hub}' has no revision '{revision}'; name one of its commits") from None
    except RepositoryNotFoundError:
        raise HubError(
            f"{key}.hub: the hub has no '{hub}', or not for you; look at the name, or give a token that may read it "
            "(HF_TOKEN)"
        ) from None
    except (HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError) as error:
        said = str(error).split("\n")[0][:200]
        raise HubError(
            f"{key}.hub: '{hub}' could not be fetched from the hub ({said}); look at the network and run again, which "
            "goes on with what is there, or use files of your own"
        ) from None
