"""Storage accounts, file shares and blob containers on plain folders."""
