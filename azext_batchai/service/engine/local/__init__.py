"""Nodes as folders and jobs as processes on this machine (Linux)."""
