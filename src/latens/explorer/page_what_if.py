"""What the page needs to answer What if by itself: draws of z, the encoder, and the grids of the columns."""

from typing import Any

import equinox as eqx
import jax
import numpy as np

from latens.distributions import StandardNormal
from latens.explorer.decoder import folded, network_of, page_decoder
from latens.explorer.heads import described
from latens.explorer.page_columns import grid
from latens.explorer.whatif import MOST_COLUMNS, cells_of_choices, edges_of, texts_of
from latens.io.named_arrays import tree_to_arrays
from latens.io.safetensors import pack
from latens.kinds.tables.columns import ColumnType
from latens.models import Conditional, LatentModel, NormalHead
from latens.models.conditional import as_seen
from latens.models.heads.table import TableInput
from latens.models.priors import MixturePrior
from latens.networks import Dense

FEW_CELLS = 400
"""Cells of a column that the page cannot write itself up to which it has the words of each."""
OUTPUT_BYTES = 4 << 20
"""Of the outputs of a decoder that the page does not compute, for as many draws of the prior as fit."""


def given_in_page(trained: Any, files: dict[str, bytes], prior: np.ndarray | None) -> dict[str, Any] | None:
    """Describe how the page weighs draws of z by what is fixed; None where it cannot."""
    # With the encoder the page draws as `shares_given` does, half of the prior and half of q(z | what is fixed).
    # Without it (another network, another prior) only the prior's draws are weighed, and fewer of them count.
    # Arrays of the decoder are where the page finds its decoder; the others stand in a file of their own.
    # prior: draws of the prior, which the page has already, shape (n, *z); or None.
    model, types = folded(trained.model), trained.schema.types
    if prior is None or types is None or not isinstance(model, LatentModel):
        return None
    decoder = model.decoder
    head = described(decoder.head, "decoder.head") if isinstance(decoder, Conditional) else None
    if head is None or head["kind"] != "table":
        return None
    found: dict[str, Any] = {"head": head, "encoder": None, "outputs": None}
    keep, spec = [], page_decoder(model)
    if spec is None:
        outputs = _outputs(decoder, prior)
        if outputs is None:
            return None
        files["data/given-outputs.bin"] = outputs.astype("<f2").tobytes()
        found["outputs"] = {"file": "data/given-outputs.bin", "dtype": "float16", "shape": list(outputs.shape)}
        keep.append("decoder.head.")
    else:
        found["network"] = spec["network"]
        law, encoder = _law(model.prior_part), _encoder(model.encoder)
        if law is not None and encoder is not None:
            found |= {"encoder": encoder, "prior": law}
            keep += ["encoder.", "prior_part."]
    kept = {name: array for name, array in tree_to_arrays(model).items() if name.startswith(tuple(keep))}
    files["data/given.safetensors"] = pack(kept, {"kind": "given"})
    columns = [grid_of(one) for one in types[:MOST_COLUMNS]]
    return found | {"file": "data/given.safetensors", "columns": columns}


def grid_of(one: ColumnType) -> dict[str, Any]:
    """The cells of a column by which it is asked and answered."""
    if one.named:
        return {}
    # The page writes numbers and days itself; of others it says the nearest of the choices.
    plain = one.kind == "number" or one.dtype == "Date" or (one.dtype.startswith("Datetime") and ", " not in one.dtype)
    found: dict[str, Any] = {**grid(one), "size": one.size, "plain": plain}
    if not plain and one.size <= FEW_CELLS:  # a mean lies between the choices
        found["words"] = texts_of(one, np.arange(one.size))
    return found | {"edges": edges_of(one).tolist(), "choices": cells_of_choices(one).tolist()}


def _law(prior: Any) -> dict[str, Any] | None:
    """The density of the prior as the page reads it."""
    if type(prior) is StandardNormal:
        return {"kind": "normal"}
    return {"kind": "mixture", "path": "prior_part"} if type(prior) is MixturePrior else None


def _encoder(encoder: Any) -> dict[str, Any] | None:
    """The encoder of a mixed table as the page reads it."""
    if type(encoder) is not Conditional or encoder.reads or type(encoder.network) is not Dense:
        return None
    seen, head = encoder.standardise, encoder.head
    if not isinstance(seen, TableInput) or type(head) is not NormalHead:
        return None
    path = "encoder.standardise"
    blocks = [
        {"places": list(places), "starts": f"{path}.starts.{name}.value", "widths": f"{path}.widths.{name}.value"}
        | {part: f"{path}.{part}.{name}.value" if name in seen.scores else None for part in ("scores", "atoms")}
        for name, places in zip(seen.blocks.names, seen.blocks.places, strict=True)
    ]
    network = network_of(encoder.network, "encoder.network")
    return {"network": network, "blocks": blocks, "scale": head.scale, "floor": head.scale_floor}


def _outputs(decoder: Any, z: np.ndarray) -> np.ndarray | None:
    """What a decoder's network says of the first draws, a row each."""
    if type(decoder) is not Conditional or decoder.reads:
        return None
    network: Any = eqx.nn.inference_mode(decoder.network)
    count = min(len(z), max(100, OUTPUT_BYTES // (2 * decoder.head.num_outputs)))
    one = lambda z: network(as_seen(z, decoder.standardise, None)).reshape(-1)  # noqa: E731
    return np.asarray(jax.jit(jax.vmap(one))(z[:count]))
