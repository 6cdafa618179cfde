"""Clusters on Slurm: a node is an allocation that we hold, a job is tasks in it (docs/slurm.md)."""
