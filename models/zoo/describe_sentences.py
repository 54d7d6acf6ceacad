"""What the service and the reader are told of a sentence model: manifest and card."""

from __future__ import annotations

from pathlib import Path

from zoo import sst2
from zoo.card import Card
from zoo.export import Port
from zoo.manifest import Table, write_manifest
from zoo.recipe import CLIP
from zoo.tokens import PAD, PATTERN, UNKNOWN
from zoo.train_sentences import Recipe

LICENCE = "research use: the weights follow the terms of the Stanford Sentiment Treebank"
SOURCE = "SST-2, Socher et al. 2013, EMNLP; split of Kim 2014, arXiv:1408.5882"
TOKENS = Port("tokens", {0: "n", 1: "t"})


def title(recipe: Recipe) -> str:
    """Return what the model is called for readers."""
    plain = "Sentences, negative or positive"
    return plain if recipe.cell == "LSTM" else f"{plain} ({recipe.cell})"


def write_sentence_manifest(target: Path, recipe: Recipe) -> None:
    """Write `model.toml`."""
    top: Table = {
        "title": title(recipe),
        "licence": LICENCE,
        "source": SOURCE,
        "labels": sst2.LABELS,
        "activation": "softmax",
    }
    tokens: Table = {
        "kind": "tokens",
        "name": TOKENS.name,
        "vocabulary": "vocabulary.txt",
        "pattern": PATTERN,
        "lowercase": True,
        "pad": PAD,
        "unknown": UNKNOWN,
        "max_tokens": 512,
    }
    explain: Table = {"embedding": "embedding"}
    write_manifest(target / "model.toml", top, {"input": tokens, "explain": explain})


def sentence_card(name: str, n_train: int, n_tokens: int, recipe: Recipe, seeds: int) -> Card:
    """Return what `CARD.md` says."""
    seeds_said = "One seed." if seeds == 1 else f"{seeds} seeds; which is served was not a choice."
    return Card(
        title=title(recipe),
        purpose="Tells whether a sentence about a film is negative or positive. It is there to "
        "show explanations of a recurrent network on text, not to judge anybody's writing.",
        data=[
            "SST-2 (Stanford Sentiment Treebank, two classes, whole sentences only): 6,920 "
            "training, 872 development and 1,821 test sentences, text as in Kim 2014 "
            "(arXiv:1408.5882).",
            f"Trained on {n_train:,} sentences: the same training split with its five grades "
            "(8,544, neutral ones included), used as soft targets, less the few sentences that "
            "recur word for word in the development or test split.",
            f"Vocabulary: the {n_tokens:,} tokens that occur at least {recipe.least_count} times "
            "in those training sentences. No other text and no ready-made vectors were used.",
            "Socher, Perelygin, Wu, Chuang, Manning, Ng, Potts 2013: Recursive Deep Models for "
            "Semantic Compositionality Over a Sentiment Treebank, EMNLP.",
        ],
        licence="The treebank was released for research without a formal licence; the sentences "
        "come from Rotten Tomatoes reviews (Pang & Lee 2005). The weights are offered for "
        "research and demonstration on the same understanding. The data is not in this repository.",
        recipe=[
            f"Embedding {recipe.width}, one forward {recipe.cell} of {recipe.hidden}, masked mean "
            "and maximum over the steps, one linear layer. Logits; softmax gives probabilities.",
            f"AdamW, one cycle to {recipe.lr:g}, weight decay {recipe.weight_decay:g}, batch "
            f"{recipe.batch}, gradient norm at most {CLIP:g}, running average {recipe.average:g}.",
            f"Dropout: words {recipe.dropout.word:g}, embedding {recipe.dropout.embedding:g}, "
            f"pooled states {recipe.dropout.pooled:g}.",
            "The epoch was chosen on the development split; the test split was read once, after.",
        ],
        limits=[
            "English, film reviews, 2000s; elsewhere the accuracy is unknown.",
            f"{seeds_said} With 1,821 test sentences the standard error is about 0.9 points.",
            "No neutral class: a neutral sentence gets a probability near one half at best.",
        ],
        command=f"make models MODEL={name}",
    )
