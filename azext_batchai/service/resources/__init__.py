"""One module per noun: validate, fill defaults, store, project."""
