"""One module for each export, with `render(rows, currency)`."""
