"""Ask for several classes at once, and why one rather than another."""

from candor.client import Client

TARGETS = ["tabby cat", "lion", ("tabby cat", "lion")]

with Client("127.0.0.1:8001") as client:
    labels = client.model("photos").labels
    answer = client.explain("photos", ["gradient"], images=["cat.jpg"], targets=[TARGETS])
for position, target in enumerate(TARGETS):
    found = answer.of("gradient", position=position)
    classes = [labels[i] for i in (found.target.plus, found.target.minus) if i is not None]
    print(target, classes, f"score {found.trust['score']:.2f}", f"max {found.values.max():.3g}")
