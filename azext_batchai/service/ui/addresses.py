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
    subscription, group, rest = match[1], match[2], match[3].split("/")
    scope = [] if subscription.lower() == own_subscription.lower() else ["subscriptions", subscription]
    words = [*scope, "groups", group, *rest, *more]
    return ROOT + "/".join(quote(word, safe="") for word in words)


def storage(account: str, *more: str) -> str:
    """The page of a storage account, or of a share or container in it and a path in that."""
    return f"{ROOT}storage/" + "/".join(quote(word, safe="") for word in (account, *more))


def trail(resource_id: str, own_subscription: str) -> tuple[tuple[str, str], ...]:
    """The names and addresses of what a Batch AI resource lies in, from the overview down."""
    words = resource_id.split("/")
    ends = range(9, len(words) - 1, 2)  # behind the names of its workspace and what else is above it
    return (
        ("Overview", ROOT),
        *((words[end - 1], of("/".join(words[:end]), own_subscription)) for end in ends),
    )
