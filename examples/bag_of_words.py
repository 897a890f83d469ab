"""A kind of rows of one's own: texts as bags of words, sparse counts of a vocabulary, with their likelihood.

python examples/bag_of_words.py
latens fit bags.npz --counts --import examples/bag_of_words.py --set likelihood=bag-of-words --out runs/bags
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from msgspec.structs import replace
from scipy import sparse

import latens
from latens.distributions import AbstractDistribution, NegativeBinomial
from latens.kinds import Kind, option
from latens.models import AbstractHead


@dataclass(kw_only=True, eq=False)
class Bags(Kind):
    """Texts, of which the words of a vocabulary are counted; other words are left out."""

    implies: ClassVar = {"counts": True}

    vocabulary: tuple[str, ...] = option("the words that are counted", default=())

    def __post_init__(self):
        """Count the words of each text in a sparse matrix."""
        if isinstance(self.source, list):
            place = {word: i for i, word in enumerate(self.vocabulary)}
            found = [(i, place[word]) for i, text in enumerate(self.source) for word in text.split() if word in place]
            row, column = np.array(found, np.int64).reshape(-1, 2).T  # a word that comes again is added
            self.source = sparse.csr_matrix((np.ones(len(row)), (row, column)), (len(self.source), len(place)))

    def store(self, rows):
        """Store counts whose columns have the names of their words."""
        stored = super().store(rows)
        columns = stored.schema.columns
        columns = tuple(replace(one, name=word) for one, word in zip(columns, self.vocabulary)) or columns
        return stored._replace(schema=replace(stored.schema, columns=columns))


class BagOfWords(AbstractDistribution):
    """How many words a text has, a negative binomial; which ones, a multinomial."""

    has_path: ClassVar = False
    logits: jax.Array  # of each word
    length: NegativeBinomial  # the number of words, of shape (1,)

    def sample(self, *, key):
        """Draw how many words there are, then the words."""
        n, key = self.length.sample(key=key)[0], jax.random.fold_in(key, 1)
        return jax.random.multinomial(key, n, jax.nn.softmax(self.logits))

    def log_prob(self, event):
        """The log probability of a bag."""
        total = event.sum(keepdims=True)
        words = gammaln(total + 1).sum() - gammaln(event + 1).sum() + event @ jax.nn.log_softmax(self.logits)
        return self.length.log_prob(total) + words

    def mean(self):
        """How often each word is expected."""
        return self.length.mean() * jax.nn.softmax(self.logits)


class BagOfWordsHead(AbstractHead):
    """An output for each word, and two for the number of words."""

    kinds: ClassVar = ("counts",)
    sees: ClassVar = "whole"

    @property
    def num_outputs(self):
        """One for each word, and two."""
        return self.shape[0] + 2

    def __call__(self, outputs):
        """The bag with these outputs."""
        length = NegativeBinomial(jnp.clip(outputs[-2:-1], -5.0, 12.0), jnp.clip(outputs[-1:], -5.0, 8.0))
        return BagOfWords(outputs[:-2], length)

    def output_bias(self, mean, frequencies=None):
        """Begin at the shares of all texts."""
        mean = np.maximum(np.asarray(mean, np.float64), 1e-6)
        return np.concatenate([np.log(mean), [np.log(mean.sum()), 1.0]])


latens.register_part("likelihood", "bag-of-words", BagOfWordsHead)
TOPICS = ("wind rain cloud storm sun frost", "flour butter oven salt dough sugar", "sail harbour wind tide anchor crew")
WORDS = tuple(sorted({word for topic in TOPICS for word in topic.split()}))


def texts(n: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts of 5 to 30 words, each of one topic; and the topics."""
    rng, topics = np.random.default_rng(seed), np.random.default_rng([seed, 1]).integers(3, size=n)
    return [" ".join(rng.choice(TOPICS[topic].split(), rng.integers(5, 30))) for topic in topics], topics


def main() -> None:
    rows = Bags(texts(2000)[0], vocabulary=WORDS)
    sparse.save_npz("bags.npz", rows.source)  # what the command reads
    vae = latens.VAE(2, likelihood="bag-of-words", epochs=30, random_state=0).fit(rows)
    new, topics = texts(500, seed=1)
    new = Bags(new, vocabulary=WORDS)
    print("log p(x) of new texts, in nats:", float(np.mean(vae.score_samples(new))))
    print("a drawn bag:", {word: int(n) for word, n in zip(WORDS, vae.sample(1)[0]) if n})
    latens.figures.save(latens.figures.latent_scatter(vae.transform(new), topics, TOPICS), "bags")


if __name__ == "__main__":
    main()
