"""Clusters: what is wrong with one, and what its nodes did."""
