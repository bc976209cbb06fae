"""What `probe` does with a live server: it asks (``asking``), checks (``checks``, ``others``, ``drift``).

``replay`` writes down what was asked, for other tools.
"""
