"""The committed models as a running service answers for them: measured, drawn, and written down.

`python -m zoo.page renew` asks it about the rows that the models are tested on (where the data is)
and writes `measured.json` and the drawings; `draw` renews the drawings alone; `write` puts what it
says of itself now, and what was measured, into the documentation.
"""
