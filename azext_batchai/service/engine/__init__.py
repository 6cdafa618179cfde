"""Engines provide nodes and run jobs on them; `base` is the protocol."""
