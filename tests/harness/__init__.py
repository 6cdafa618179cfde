"""What the tests drive the real things with: az in process, az as a process, the embedded service."""
