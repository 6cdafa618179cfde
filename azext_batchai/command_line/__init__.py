"""The command line: its options and their older spellings, what they put into a request, what is shown meanwhile."""
