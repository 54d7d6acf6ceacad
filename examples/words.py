"""Explain sentences: LIME's weight of every word, and how well LIME fits."""

from candor.client import Client

SENTENCES = ["A film that breathes.", "A film that only coughs."]

with Client("127.0.0.1:8001") as client:
    answer = client.explain("sentences", [{"lime": {"n_samples": 300}}], texts=SENTENCES)
for row, sentence in enumerate(SENTENCES):
    lime = answer.of("lime", row=row)
    words = answer.prediction.rows[row].view.tokens
    weights = lime.values[: len(words)]  # beyond them, a shorter text of a batch is padded
    print(sentence, answer.prediction.rows[row].top[0].label, lime.trust["figures"]["r2"])
    for word, weight in sorted(zip(words, weights, strict=True), key=lambda pair: -pair[1]):
        print(f"  {weight:+.3f} {word}")
