"""A model behind the harness's interface, asked under many head sets at once."""
