"""The service on this machine, seen from the command line: found, started, asked, and followed when it moves."""
