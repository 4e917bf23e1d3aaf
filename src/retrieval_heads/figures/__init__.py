"""What the figure notebooks share, how they are run, tables as HTML pages, and the study on one page."""
