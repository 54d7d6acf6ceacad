"""The committed models as a running service answers for them: measured, drawn, and written down.

`python -m zoo.page measure` asks it about the official test splits (where the data is) and writes
`measured.json` and the drawings; `python -m zoo.page write` puts what it says of itself now, and
what was measured, into the documentation.
"""
