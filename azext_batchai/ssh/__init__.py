"""SSH: accounts on nodes, their keys and passwords, connections and forwarded ports."""
