"""Jobs: what their state means, waiting for them, following their files."""
