"""The options of every command, a file for each noun."""
