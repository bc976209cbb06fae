"""What `probe` does with a live server: it asks (``asking``), checks (``checks``, ``others``, ``drift``).

``replay`` writes the requests for other tools.
"""
