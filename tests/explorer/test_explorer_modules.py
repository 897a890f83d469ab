"""The page's own modules compute what latens computes: decoding, lasso, nearest rows, axes, paths, links, files."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from explorer_fixtures import needs_node, node, untrained

from latens import latents
from latens.data import Preparation, load
from latens.distributions import StandardNormal
from latens.explorer.decoder import decoder_arrays, in_data_units, page_decoder
from latens.explorer.page_columns import grid
from latens.kinds.tables.columns import FrameColumn, number_type
from latens.models import (
    AffineHead,
    BernoulliHead,
    CategoricalHead,
    Conditional,
    ContinuousBernoulliHead,
    LatentModel,
    NormalHead,
    SquashedHead,
)
from latens.models.heads.likelihoods import (
    DiscretisedLogisticHead,
    LaplaceHead,
    NegativeBinomialHead,
    PoissonHead,
    StudentTHead,
    ZeroInflatedHead,
)
from latens.networks import ACTIVATIONS, Dense, LinearPath
from latens.runtime.safetensors import pack, tree_to_arrays


def decoder_job(tmp_path: Path, model: Any, units: dict[str, Any], z: np.ndarray, codes: Any = 0) -> dict[str, Any]:
    spec = page_decoder(model)
    assert spec is not None
    file = tmp_path / f"{len(list(tmp_path.iterdir()))}.safetensors"
    file.write_bytes(pack(decoder_arrays(tree_to_arrays(model)), {}))
    question = {"spec": spec | units, "file": str(file), "z": z.ravel().tolist(), "codes": codes}
    return question | {"size": z.shape[1], "n": len(z)}


PLAIN = in_data_units(Preparation())
HEADS = {
    "normal": NormalHead((5,)), "laplace": LaplaceHead((5,)), "student-t": StudentTHead((5,), jnp.zeros(())),
    "bernoulli": BernoulliHead((5,), 1e-2), "continuous-bernoulli": ContinuousBernoulliHead((5,)),
    "poisson": PoissonHead((5,)), "negative-binomial": NegativeBinomialHead((5,)),
    "zero-inflated": ZeroInflatedHead(PoissonHead((5,))), "categorical": CategoricalHead((5,), 4),
    "discretised-logistic": DiscretisedLogisticHead((5,), levels=17, scale="softplus"),
    "discretised-logistic, log-variance": DiscretisedLogisticHead((5,), levels=17, scale="log-variance"),
    "squashed": SquashedHead(NormalHead((5,))),
    "affine": AffineHead(NormalHead((5,)), np.arange(5.0), np.arange(1.0, 6.0)),
}  # fmt: skip


def decoding(head: Any, activation: str = "relu", output_activation: str = "identity") -> LatentModel:
    keys = jax.random.split(jax.random.key(0))
    posterior = NormalHead((3,))
    encoder = Conditional(Dense([5, posterior.num_outputs], key=keys[0]), posterior)
    network = Dense([3, 16, head.num_outputs], activation=activation, output_activation=output_activation, key=keys[1])
    return LatentModel(StandardNormal((3,)), encoder, Conditional(network, head))


@needs_node
def test_every_head_and_every_activation_decodes_as_latens_does(tmp_path) -> None:
    z = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32) * 1.5
    cases = {name: decoding(head) for name, head in HEADS.items()}
    cases |= {f"activation {name}": decoding(NormalHead((5,)), name, name) for name in ACTIVATIONS}
    found = node("decode", jobs=[decoder_job(tmp_path, model, PLAIN, z) for model in cases.values()])
    for (name, model), values in zip(cases.items(), found):
        expected = np.stack([np.asarray(model.likelihood(jnp.asarray(row)).mean()) for row in z])
        np.testing.assert_allclose(np.reshape(values, (4, 5)), expected, atol=1e-4, rtol=1e-4, err_msg=name)
    x = np.linspace(-20.0, 20.0, 81, dtype=np.float32)
    for name, values in node("activations", x=x.tolist()).items():
        np.testing.assert_allclose(values, ACTIVATIONS[name](jnp.asarray(x)), atol=2e-6, rtol=2e-6, err_msg=name)


@needs_node
def test_recipes_decode_as_latens_does(tmp_path) -> None:
    made = [
        untrained("default", load("digits")),
        untrained("fast-forward-2d", load("digits"), posterior__latent_dim=2),
        untrained("conditional-vae", load("digits")),
        untrained("default", load("wine")),
        untrained("default", load("digits"), likelihood__family="normal"),  # dequantised: y * divide - 1/2
    ]
    jobs, expected, scales = [], [], []
    for place, (trained, data) in enumerate(made):
        size = trained.config.posterior.latent_dim
        z = np.random.default_rng(place).normal(size=(6, size)).astype(np.float32)
        codes = trained.in_turn(6)
        given = 0 if codes is None else codes.tolist()
        jobs.append(decoder_job(tmp_path, trained.model, in_data_units(trained.preparation), z, given))
        values = latents.decode(trained.model, z, cond=trained.condition(codes))
        expected.append(trained.data_units(values, mean=True).reshape(-1))
        scales.append(max(1.0, float(np.ptp(data.x))))
    for found, values, scale in zip(node("decode", jobs=jobs), expected, scales):
        np.testing.assert_allclose(found, values, rtol=0, atol=1e-4 * min(scale, 16.0))


@needs_node
def test_a_linear_path_is_decoded(tmp_path) -> None:
    """A map beside the network, in one copy or two, and a whole model begun at the components of its rows."""
    keys, z = jax.random.split(jax.random.key(3), 2), np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    models = []
    for head, copies in ((NormalHead((5,)), 1), (SquashedHead(NormalHead((5,))), 2)):
        weight = 0.5 * jax.random.normal(keys[1], (3, head.num_outputs // 2))
        path = LinearPath(Dense([3, 16, head.num_outputs], activation="tanh", key=keys[0]), weight, copies)
        models.append(LatentModel(StandardNormal((3,)), decoding(head).encoder, Conditional(path, head)))
    trained, _ = untrained("default", load("wine"), posterior__latent_dim=3, network__linear=True)
    jobs = [decoder_job(tmp_path, model, PLAIN, z) for model in models]
    found = node("decode", jobs=[*jobs, decoder_job(tmp_path, trained.model, in_data_units(trained.preparation), z)])
    for model, values in zip([*models, trained.model], found):
        expected = np.stack([np.asarray(model.likelihood(jnp.asarray(row)).mean()) for row in z])
        np.testing.assert_allclose(np.reshape(values, expected.shape), expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 100.0  # the map is in it: networks that begin at 0 would give the mean


@needs_node
def test_counts_come_back_from_their_logarithm(tmp_path) -> None:
    model, z = decoding(NormalHead((5,))), np.array([[0.3, -0.2, 0.5]], np.float32)
    [found] = node("decode", jobs=[decoder_job(tmp_path, model, in_data_units(Preparation(log1p=True)), z)])
    np.testing.assert_allclose(found, np.expm1(model.likelihood(jnp.asarray(z[0])).mean()), rtol=1e-5, atol=1e-6)


@needs_node
def test_a_damaged_file_is_refused(tmp_path) -> None:
    whole = pack(decoder_arrays(tree_to_arrays(decoding(NormalHead((5,))))), {})
    for name, raw in {"short": whole[:5], "cut": whole[:-8], "header": b"\xff" * 16}.items():
        (tmp_path / name).write_bytes(raw)
        assert "model file" in node("damaged", file=str(tmp_path / name)), name


@needs_node
def test_a_lasso_finds_the_points_that_lie_inside() -> None:
    from matplotlib.path import Path as Polygon

    rng = np.random.default_rng(0)
    points = rng.normal(size=(3000, 2)).astype(np.float32)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    star = np.stack([np.cos(angle), np.sin(angle)], 1) * (1 + 0.7 * np.cos(5 * angle))[:, None]
    found = node("plane", x=points[:, 0].tolist(), y=points[:, 1].tolist(), polygon=star.tolist())
    assert found == np.flatnonzero(Polygon(star).contains_points(points)).tolist()


@needs_node
def test_nearest_rows() -> None:
    rng = np.random.default_rng(0)
    mean = (rng.normal(size=(500, 4)) @ np.diag([3.0, 1.0, 0.5, 0.1]) + 2.0).astype(np.float32)
    z, units, weight = mean[7] + 0.01, [0, 2], np.array([0.5, 2.0])
    found = node(
        "space", mean=mean.ravel().tolist(), size=4, z=z.tolist(), units=units, weight=weight.tolist(), k=6,
        **{"except": 7},
    )  # fmt: skip
    away = np.sqrt((((mean - z)[:, units] * weight) ** 2).sum(1))
    away[7] = np.inf
    rows, distances = found["nearest"]
    assert rows == np.argsort(away)[:6].tolist()
    np.testing.assert_allclose(distances, np.sort(away)[:6], rtol=1e-5)


@needs_node
def test_paths_through_latent_space() -> None:
    a, b = [2.0, 0.0], [0.0, 1.0]
    found = node("paths", a=a, b=b, steps=3)
    np.testing.assert_allclose(np.reshape(found["linear"], (3, 2)), [a, [1.0, 0.5], b], atol=1e-7)
    half = 1.5 / math.sqrt(2)  # at half the angle, of half-way length
    np.testing.assert_allclose(np.reshape(found["spherical"], (3, 2)), [a, [half, half], b], atol=1e-6)
    assert found["along"] == [2.0, -1.0, 2.0, 0.0, 2.0, 1.0]


@needs_node
def test_links_bring_the_state_back_and_nothing_else() -> None:
    state = {"x": "u3", "y": "p1", "colour": "c2", "z": [0.5, -1.25], "row": 7, "a": 1, "tab": "rows", "mode": "lasso",
             "view": [0, 1, -2, 3], "theme": "dark", "path": "spherical", "size": 1.5, "contours": True,
             "picks": [{"sign": 1, "x": "u0", "y": "p1", "polygon": [[0, 1], [2, 3], [4, 5.5]]},
                       {"sign": -1, "column": 2, "level": 3}],
             "filters": [{"key": "c0", "levels": [1, 3]}, {"key": "elbo", "low": -120.5, "high": 1e38}],
             "search": "a;b&c=<d>"}  # fmt: skip
    hostile = [
        "#x=<img>&tab=about:blank&row=-1&z=1,NaN&view=1,2&picks=%2Bu0,u1,1,2,3&size=0&names=yes",
        "#picks=%2Bc1&picks=<c1.2>&picks=%2Bc1.2;&filters=c1.&filters=kl:1&filters=u1:1,NaN&filters=x.1",
        "#__proto__=1&constructor=2&%=&=&&x",
        "#x=%E0%A4%A",
    ]
    found = node("links", states=[state], hashes=hostile)
    assert found == {"back": [state], "read": [{}, {}, {}, {}]}


@needs_node
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_contour_holds_its_share_of_a_gaussian(share: float) -> None:
    """Of a Normal in the plane the contour that holds a share is a circle: its radius is known."""
    rng = np.random.default_rng(0)
    across, up = rng.normal(size=(2, 40_000))
    found = node("density", x=across.tolist(), y=(2 * up).tolist(), share=share)
    assert found["sum"] == pytest.approx(40_000, rel=1e-5)
    ends = np.array(found["pieces"]).reshape(-1, 2) / [1.0, 2.0]
    radius = np.linalg.norm(ends, axis=1)
    # The smoothing adds to the variance.
    expected = math.sqrt(-2 * math.log(1 - share)) * math.hypot(1.0, found["smoothing"])
    assert np.mean(radius) == pytest.approx(expected, rel=0.02)
    assert np.std(radius) < 0.05 * expected
    assert len(radius) > 60


@needs_node
@pytest.mark.parametrize("pieces", ["characters", "words", "atoms"])
def test_the_page_reads_codes_as_the_texts_that_they_are(pieces: str) -> None:
    rows = ["C[NH3+] Br", "zoë | 日本 | x", "a b  b"] * 4
    data = load([row.replace("  ", " ") for row in rows], pieces=pieces)
    assert data.schema.tokens is not None
    event = {"pieces": pieces, "values": list(data.schema.tokens.values)}
    codes = np.concatenate([data.x, np.ones((len(data.x), 1), int)], axis=1)  # what follows an end is not read
    assert node("texts", event=event, rows=codes.tolist()) == data.schema.decode(data.x)


@needs_node
def test_csv_holds_what_a_spreadsheet_does_not_run() -> None:
    text = node("csv", rows=[["a,b", "=1+1", "-3.5", 'q"q', "@x"], [1.5, -2, None, "+1e3", "-"]])
    assert text == '"a,b",\'=1+1,-3.5,"q""q",\'@x\n1.5,-2,,+1e3,\'-\n'


@needs_node
def test_the_drawing_order_is_a_permutation_whose_beginning_is_a_fair_sample() -> None:
    order = np.array(node("order", n=20_000))
    assert np.array_equal(np.sort(order), np.arange(20_000))
    # The mean of 2000 of 20,000 places, drawn without replacement, within five standard errors.
    error = 20_000 / math.sqrt(12) / math.sqrt(2000) * math.sqrt(0.9)
    assert abs(order[:2000].mean() - 9999.5) < 5 * error


@needs_node
def test_times_in_single_precision_are_those_of_the_file() -> None:
    """Every minute of a day, as a number of days in float32, is that minute."""
    minutes = np.arange(1440)
    days = (minutes / np.float32(1440)).astype(np.float32)
    assert (np.floor(days.astype(np.float64) * 1440) != minutes).any()  # cut off, some would be a minute early
    words = [f"{m // 60:02d}:{m % 60:02d}" for m in minutes.tolist()]
    assert node("times", days=days.astype(float).tolist()) == words


@needs_node
def test_cells_of_a_wide_column_are_the_numbers_that_python_has() -> None:
    few = np.random.default_rng(0).integers(0, 10**9, 400).astype(float)
    values = np.concatenate([few, few + 3e9, np.full(300, 2_000_000_001.0)])
    one = number_type(values, values, FrameColumn(dtype="Int64"))
    cells = np.unique(np.round(one.place(values))).tolist()
    found = node("places", grid=grid(one), cells=cells)
    assert found == one.value(np.array(cells)).tolist()
