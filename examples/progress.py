"""Watch a long explanation, look at its partial results, and give it a budget of time."""

from candor.client import Client, Progress


def show(report: Progress) -> None:
    """Say how far it is."""
    known = "" if report.partial is None else f", largest weight {report.partial.values.max():.3f}"
    print(f"{report.method} {report.fraction:.0%}{known}")


with Client("127.0.0.1:8001") as client:
    answer = client.explain(
        "photos", ["lime"], images=["cat.jpg"], budget_ms=500, cache="bypass", on_progress=show
    )
lime = answer.of("lime")
print("complete" if lime.complete else f"cut short after {lime.trust['n_evaluations']} model runs")
