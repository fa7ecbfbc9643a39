"""Build dictionaries of facial components: K-means, contact sheets, random atoms."""
