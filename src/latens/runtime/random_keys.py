"""The salts of random keys.

A salt is a number for each purpose that a key is folded with, beside counts of rows and samples. A key folded with two
different salts gives two independent streams. The numbers are part of every published result: another number is other
noise. Two purposes may share a number only where no key is folded with both.
"""

from typing import Any

import numpy as np


def of_seed(seed: int, *salts: int) -> Any:
    """The key of a seed, folded with salts, without a compiled program."""
    import jax

    settings: Any = jax.config
    wide = settings.jax_enable_x64
    words: Any = np.array([seed >> 32 if wide else 0, seed]).astype(np.uint64) & np.uint64(0xFFFFFFFF)
    if settings.jax_default_prng_impl != "threefry2x32":
        return folded(jax.random.key(seed), *salts)
    return folded(jax.random.wrap_key_data(words.astype(np.uint32)), *salts)


def folded(key: Any, *salts: int) -> Any:
    """`jax.random.fold_in` with one number after the other, without a compiled program outside of others."""
    import jax
    from jax.core import Tracer

    if isinstance(key, Tracer) or str(jax.random.key_impl(key)) != "threefry2x32" or key.shape:
        for salt in salts:
            key = jax.random.fold_in(key, salt)
        return key
    words: Any = np.asarray(jax.random.key_data(key))
    for salt in salts:
        words = np.concatenate(threefry(words, np.array([salt])))
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def threefry(words: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Random bits by a key of two words, two for each of the counts (0, i): Threefry of 20 rounds in counter mode."""
    # Source: Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3".
    turns = (13, 15, 26, 6), (17, 29, 16, 24)
    keys = (*words, words[0] ^ words[1] ^ np.uint32(0x1BD11BDA))
    left, right = np.full(len(counts), keys[0], np.uint32), counts.astype(np.uint32) + keys[1]
    for group in range(5):
        for turn in turns[group % 2]:
            left += right
            right = (right << np.uint32(turn)) | (right >> np.uint32(32 - turn))
            right ^= left
        left += keys[(group + 1) % 3]
        right += keys[(group + 2) % 3]
        right += np.uint32(group + 1)
    return left, right


# Folded into the key of a training step, or of one evaluation.
NETWORK_DROPOUT = 0xD809  # which activations are dropped, of each row
LABEL_NETWORK_DROPOUT = 0xC1A5  # which activations of a network of labels are dropped, of each row
PRIOR_SAMPLES = 0x9A10  # a latent event of the prior for each row
SHUFFLED_UNITS = 0x5F1E  # the rows that shuffled latent units are taken from
SLOPE_PROBES = 0x6A9D  # random directions that estimate a decoder's slope
RANDOM_SUBSETS = 0x5B5E  # random subsets of the modalities
AFTER_UPDATE = 0xAF7E  # what an objective moves after the optimiser's update
CURVATURE = 0xC0A7  # the draws by which the curvature around a posterior is found
IMPUTED_EVENTS = 0x1B  # events drawn in the place of missing values

# Folded into the key of a seed; no key is folded with one of these and with one of the above.
VALIDATION = 0x7A11DA7E  # the noise of validation during training
INITIAL_MODEL = 0x1417  # the initial arrays of a model
INITIAL_CRITIC = 0xC217  # the initial arrays of an objective's critic
INITIAL_PRIOR = 0x2EF1  # the initial arrays of a prior that is fitted after training
INITIAL_NETWORKS = 0x4E37  # the initial arrays of networks that are given to an estimator
HIDDEN = 0x41DE  # the cells of a training row that are hidden
MOVED = 0x30FE  # where a training picture is moved
VAE_SAMPLES = 0x5A3B  # samples drawn by an estimator
CLASSIFIER_SAMPLES = 0xC1A5  # samples drawn by a generative classifier
