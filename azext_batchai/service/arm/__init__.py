"""The ARM protocol: ids, errors, replies, long-running operations, paging."""
