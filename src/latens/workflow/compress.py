"""Rows as a file of bits that a model gives back exactly: the proof that its nats are real."""

import hashlib
import math
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import jax
import msgspec
import numpy as np
from jaxtyping import Shaped

from latens import evaluation
from latens.data import Dataset
from latens.data.streams.dataset import StreamDataset
from latens.errors import DataError, ModelFileError, UsageError
from latens.evaluation.bits_back import BitsBack, Stack, is_binary
from latens.io.arrays import tree_to_arrays
from latens.io.compilation import jax_settings
from latens.io.json import typed
from latens.io.process import check_process, threads
from latens.io.safetensors import arrays_sha256, pack, read
from latens.workflow.trained import TrainedModel

FORMAT = 1
MOST_REACH = 4096
"""How far from 0 a latent is coded at most: the coder holds a table of all intervals."""

ROWS_A_WORD = 64
"""Rows that a word of 32 bits may hold at most: a file that says more is refused before work is done for it."""


class Facts(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a file of coded rows says of them."""

    format: Annotated[int, msgspec.Meta(ge=FORMAT, le=FORMAT)]
    rows: Annotated[int, msgspec.Meta(ge=0)]
    levels: Annotated[int, msgspec.Meta(ge=2, le=65536)]
    reach: Annotated[float, msgspec.Meta(gt=0, le=MOST_REACH)]
    dtype: Annotated[str, msgspec.Meta(pattern=r"^[<>|=](b1|[iuf][1248])$")]
    rows_sha256: str
    model: str
    machine: dict[str, Any]


def compress(trained: TrainedModel, data: Dataset) -> tuple[bytes, dict[str, Any]]:
    r"""Code rows without loss, in about as many bits as the negative ELBO says."""
    # $-\frac{1}{\log 2} \sum_n \mathrm{ELBO}(x_n)$ bits, and those of one latent, which nothing pays back.
    # returns: the bytes of a file, and facts: `rows`, `bits` of the file's rows, `bits_before`, those of them that lay
    # there before the first row, `bits_per_dimension`, and `negative_elbo_bits`, what the ELBO with four draws a row
    # says.
    symbols, levels = _symbols(trained, data)
    batch, key = trained.batch(data), jax.random.key(0)
    codes = evaluation.encode(trained.rows(batch, key=key))
    spread = np.exp(codes["log_variance"] / 2).max() if "log_variance" in codes else 1.0
    reach = max(16.0, float(np.abs(codes["mean"]).max() + 8 * spread))
    if not reach <= MOST_REACH:
        what = f"a row has a latent {reach:.3g} away from 0; up to {MOST_REACH} can be coded."
        fix = "`latens detect` names rows that the model has not seen the like of."
        raise DataError(what, where=data.name, fix=fix)
    coder = _bits_back(trained, levels, reach)
    stack = Stack(np.ones(coder.words_before, np.uint32))
    for number, row in enumerate(symbols):
        stack.scramble(number, coder.words_before)
        coder.encode(stack, row)
    coded = stack.words
    if len(symbols) > ROWS_A_WORD * len(coded):
        what = "the rows take less than half a bit each: there is next to nothing to code."
        raise DataError(what, where=data.name, fix="Keep one of the rows, and how many there are.")
    facts = Facts(
        format=FORMAT,
        rows=len(symbols),
        levels=levels,
        reach=reach,
        dtype=data.x.dtype.str,
        rows_sha256=hashlib.sha256(symbols.tobytes()).hexdigest(),
        model=arrays_sha256(tree_to_arrays(trained.model)),
        machine=_machine(),
    )
    elbo = evaluation.elbo_parts(trained.rows(batch, key=key), num_samples=4)["elbo"]
    bits = 32 * len(coded)
    told = {
        "rows": len(symbols),
        "bits": bits,
        "bits_before": 32 * coder.words_before,
        "bits_per_dimension": bits / symbols.size,
        "negative_elbo_bits": -float(np.sum(elbo, dtype=np.float64)) / math.log(2.0),
    }
    return pack({"words": coded.view(np.int32)}, msgspec.structs.asdict(facts)), told


def decompress(trained: TrainedModel, path: str | Path) -> Shaped[np.ndarray, "n *x"]:
    """Give back the rows that `compress` coded, bit for bit."""
    check_process()
    arrays, metadata = read(path)
    fix = "Give a file of `latens compress`."
    if "rows_sha256" not in metadata or "words" not in arrays:
        raise ModelFileError("this is not a file of coded rows.", where=str(path), fix=fix)
    facts, words = typed(metadata, Facts, where=f"{path}, ", fix=fix), arrays["words"]
    # The highest bit marks the end, so that the last word is not 0.
    whole = words.dtype == np.int32 and words.ndim == 1 and words.size and words[-1]
    if not whole or facts.rows > ROWS_A_WORD * words.size:
        raise ModelFileError("the words are no coded rows.", where=str(path), fix=fix)
    if facts.model != arrays_sha256(tree_to_arrays(trained.model)):
        raise UsageError("another model coded these rows.", where=str(path), fix="Give the run that coded them.")
    for name, value in _machine().items():
        if facts.machine.get(name) != value:
            what = f"{name} was {facts.machine.get(name)!r} where the rows were coded, and is {value!r} here."
            fix = "Last bits of networks differ between kinds of machines: decompress where the file was made."
            raise UsageError(what, where=str(path), fix=fix)
    coder = _bits_back(trained, facts.levels, facts.reach)
    stack = Stack(np.ascontiguousarray(words).view(np.uint32))
    found: list[np.ndarray] = []  # grows with the rows that are there: a file may say that it has more
    for number in reversed(range(facts.rows)):
        found.append(coder.decode(stack))
        stack.scramble(number, coder.words_before)
    rows = np.array(found[::-1], np.int32).reshape(-1, *trained.schema.shape)
    if hashlib.sha256(rows.tobytes()).hexdigest() != facts.rows_sha256:
        fix = "The networks gave other last bits here than there: decompress where the file was made."
        raise ModelFileError("the decoded rows are not those that were coded.", where=str(path), fix=fix)
    return (rows * _unit(trained)).astype(np.dtype(facts.dtype))


def _symbols(trained: TrainedModel, data: Dataset) -> tuple[np.ndarray, int]:
    """The rows as whole numbers from 0 on, and how many of them there are."""
    preparation, what, fix = trained.preparation, "", ""
    if isinstance(data, StreamDataset):
        what, fix = "rows that stay on disk are not coded.", "Give some of the files."
    elif data.schema.tokens is not None:
        what, fix = "rows of text are not coded.", "Give rows of whole numbers or of yes and no."
    elif data.mask is not None:
        what, fix = "rows with missing cells are not coded.", "Fill them: `latens impute`."
    elif preparation.classes or trained.schema.conditions:
        what, fix = "a conditional model would need the labels of the rows.", "Use a model without labels."
    elif preparation.dequantize or preparation.log1p or data.schema.types is not None:
        what = "the model has densities of these numbers, not probabilities of their values."
        fix = "Use --set likelihood.family=bernoulli, categorical or discretised-logistic."
    if what:
        raise DataError(what, where=data.name, fix=fix)
    scaled = np.asarray(data.x, np.float64) / _unit(trained)
    levels = 2 if is_binary(trained.model) else trained.schema.levels or 2
    if not np.array_equal(scaled, np.clip(np.round(scaled), 0, levels - 1)):
        what = f"the likelihood has probabilities of {levels} values, and these rows have others."
        fix = "or use --set likelihood.family=discretised-logistic."
        fix = f"Binarise them first, to 0 and {_unit(trained):g}, {fix}" if levels == 2 else f"Give such values, {fix}"
        raise DataError(what, where=data.name, fix=fix)
    return scaled.astype(np.int32), levels


def _unit(trained: TrainedModel) -> float:
    return 1.0 if trained.preparation.integer else float(trained.preparation.divide)


def _bits_back(trained: TrainedModel, levels: int, reach: float) -> BitsBack:
    dtype = np.int32 if trained.preparation.integer else np.float32
    return BitsBack(trained.model, trained.schema.shape, levels=levels, reach=reach, dtype=dtype)


def _machine() -> dict[str, Any]:
    """What decides the last bits of a network's numbers."""
    model = ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        model = platform.processor()
    return {
        "processor": f"{platform.machine()} {model}".strip(),
        "device": jax.default_backend(),
        "threads": threads(),
        **{name: version(name) for name in ("jax", "jaxlib", "constriction")},
        **jax_settings(),
    }
