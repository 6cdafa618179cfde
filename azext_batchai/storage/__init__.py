"""Storage accounts: found and made, mounted on clusters and jobs, listed."""
