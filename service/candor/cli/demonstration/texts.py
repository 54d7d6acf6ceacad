"""The part of the demo with sentences: ask, and draw the weight of every word."""

from rich.console import Console
from rich.markup import escape

from candor.cli.demonstration.timed import ask_twice
from candor.cli.drawing import print_tokens
from candor.client import Client
from candor.result import TextView

__all__ = ["METHODS", "SENTENCES", "show_sentences"]

METHODS = ("gradient", "lime")
_MODEL = "sentences"

# Written for this demo; none is taken from a data set.
SENTENCES: tuple[str, ...] = (
    "A warm and funny film that never forgets how heavy grief can be.",
    "Two hours of noise, and not one moment that feels true.",
    "The acting is superb, but the story falls apart long before the end.",
    "I expected to be bored, and I was not bored for a second.",
    "It is not a bad film, only a dull one.",
)


def show_sentences(client: Client, console: Console) -> None:
    """Print each sentence with its prediction, its words' weights, and the times of the calls."""
    labels = client.model(_MODEL).labels
    for text in SENTENCES:
        timed = [ask_twice(client, _MODEL, method, texts=[text]) for method in METHODS]
        row = timed[0].explanation.prediction.rows[0]
        best = row.top[0]
        console.print(f"[bold]{escape(text)}[/]")
        console.print(f"  {escape(best.label)} {best.probability:.3f}")
        for each in timed:
            console.print(
                f"  {each.method}: {each.first_s * 1000:.1f} ms, "
                f"cached {each.second_s * 1000:.1f} ms"
            )
        if isinstance(row.view, TextView):
            answers = [answer for each in timed for answer in each.answers]
            print_tokens(console, text, row.view, answers, labels)
        console.print()
