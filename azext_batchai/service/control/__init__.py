"""The control plane: decides how many nodes a cluster has, places jobs on them, takes resources away."""
