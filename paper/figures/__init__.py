"""One module per chart (see catalogue.py): the table that it shows, and its drawing."""
