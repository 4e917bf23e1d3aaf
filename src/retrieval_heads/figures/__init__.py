"""What the figure notebooks share, how they are run, and tables as HTML pages."""
