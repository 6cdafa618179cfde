"""Where the page of a thing is: addresses that can be kept, and the names in them."""

from __future__ import annotations

import re
from urllib.parse import quote

ROOT = "/ui/"
_ID = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.BatchAI/(workspaces/.+)", re.IGNORECASE
)


def of(resource_id: str, own_subscription: str, *more: str) -> str:
    """The page of a Batch AI resource by its ARM id, and of what lies below it.

    The subscription is in it only where it is not the service's own.
    """
    match = _ID.fullmatch(resource_id)
    assert match, resource_id
    other = "" if match[1].lower() == own_subscription.lower() else match[1]
    return _address(other, "groups", match[2], *match[3].split("/"), *more)


def trail(resource_id: str, own_subscription: str) -> tuple[tuple[str, str], ...]:
    """The names and addresses of what a Batch AI resource lies in, from the overview down."""
    words = resource_id.split("/")
    ends = range(9, len(words) - 1, 2)  # behind the names of its workspace and what else is above it
    return (
        ("Overview", ROOT),
        *((words[end - 1], of("/".join(words[:end]), own_subscription)) for end in ends),
    )


def storage(*words: str, other_subscription: str = "") -> str:
    """The page of the storage accounts; of one (`account`); of a share or container in it (`files` or `blobs`, name)
    and a path in that (name by name). `other_subscription`: where the account is not in the service's own.
    """
    return _address(other_subscription, "storage", *words)


def _address(other_subscription: str, *words: str) -> str:
    scope = ("subscriptions", other_subscription) if other_subscription else ()
    return ROOT + "/".join(quote(word, safe="", errors="surrogateescape") for word in (*scope, *words))
