"""Generators of the explainers, run to their ends."""


def finish(generator):
    """Run a bulk explainer, or a part of one: all it reported on its way, and its answer."""
    reports = []
    while True:
        try:
            reports.append(next(generator))
        except StopIteration as end:
            return reports, end.value
