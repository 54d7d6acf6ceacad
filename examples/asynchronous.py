"""Many explanations at once, from one event loop."""

import asyncio

from candor.client import AsyncClient

SENTENCES = ["Not a bad film.", "Not a good film.", "A good film, not a great one."]


async def main() -> None:
    """Ask for all of them, and print them in order."""
    async with AsyncClient("127.0.0.1:8001") as client:
        answers = await asyncio.gather(
            *(client.explain("sentences", ["gradient"], texts=[text]) for text in SENTENCES)
        )
    for text, answer in zip(SENTENCES, answers, strict=True):
        best = answer.prediction.rows[0].top[0]
        print(f"{best.label:<10} {best.probability:.2f}  {text}")


asyncio.run(main())
