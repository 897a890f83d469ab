"""Single cells: types among neighbours, batches mixed, depth left in codes, and log p(x).

    python benchmarks/cells.py mixing [COUNTS.npz LABELS.npy] [--half report] [--seeds 5] [--steps 300]
    python benchmarks/cells.py simulate FILE.h5ad --seed 0

`mixing` takes counts of cells by genes (a SciPy sparse matrix, or an .h5ad file with obs/labels) and makes two batches
of them: half of the cells are thinned to half the depth, each gene by its own factor exp(N(0, 0.5)). Recipes are chosen
on one half of the cells and reported on the other (`--half`). Without files it takes simulated cells:
six types from negative binomials whose fold changes are known, in two batches, with depths that vary by half.
`--scvi` runs scvi-tools in the place of latens; it is not among the packages that latens installs. Times are seconds of
processor time.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

import latens
from latens import evidence
from latens.config import override
from latens.evidence.rivals import depth_baseline
from latens.runtime.compilation import enable_compilation_cache


class Cells(NamedTuple):
    """Counts with type and batch of each cell."""

    x: np.ndarray
    kind: np.ndarray
    batch: np.ndarray


def log_normalised(counts: np.ndarray) -> np.ndarray:
    """Logarithms of 1 + counts, of cells that are scaled to the median total."""
    total = np.maximum(counts.sum(axis=1, dtype=np.float64), 1.0)
    return np.log1p(counts * (np.median(total) / total)[:, None])


def components(counts: np.ndarray, count: int, *, scaled: bool = False) -> np.ndarray:
    """The first principal components of log-normalised counts."""
    # scaled: whether each gene has the variance 1, and lies within 10 deviations of its mean, as by scanpy.pp.scale.
    logs = log_normalised(counts)
    if scaled:
        spread = logs.std(axis=0, ddof=1)
        logs = np.clip((logs - logs.mean(axis=0)) / np.where(spread > 0, spread, 1.0), -10.0, 10.0)
    return PCA(count, random_state=0).fit_transform(logs)


def same_type(z: np.ndarray, kind: np.ndarray, count: int = 15) -> np.ndarray:
    """For each cell whether its type is the most frequent one of its neighbours."""
    near = NearestNeighbors(n_neighbors=count).fit(z).kneighbors(return_distance=False)
    votes = np.zeros((len(near), int(kind.max()) + 1))
    for column in near.T:
        votes[np.arange(len(near)), kind[column]] += 1
    return votes.argmax(axis=1) == kind


def simulated(seed: int, n: int = 2100, genes: int = 800, types: int = 6) -> Cells:
    """Cells of a negative binomial whose types differ in a tenth of the genes each."""
    rng = np.random.default_rng(seed)
    base, own = rng.normal(0, 1.3, genes), np.zeros((types, genes))
    for one in own:
        on = rng.random(genes) < 0.1
        one[on] = rng.normal(0, 1.0, on.sum())
    state = rng.normal(0, 0.3, (3, genes)) * (rng.random((3, genes)) < 0.15)
    shift = rng.normal(0, 0.4, genes)
    kind, batch = rng.integers(0, types, n), rng.integers(0, 2, n)
    share = np.exp(base + own[kind] + rng.normal(size=(n, 3)) @ state + batch[:, None] * shift)
    share /= share.sum(axis=1, keepdims=True)
    depth = np.exp(rng.normal(np.log(1200), 0.5, n) - np.log(2) * batch)
    theta = np.exp(rng.normal(1.0, 0.5, genes))
    x = rng.poisson(rng.gamma(theta, 1 / theta, (n, genes)) * share * depth[:, None])
    return Cells(x, kind, batch)


def in_batches(x: np.ndarray, kind: np.ndarray, seed: int) -> Cells:
    """Two batches of cells by thinning: half the depth, and a factor of each gene."""
    rng = np.random.default_rng(seed)
    batch = rng.integers(0, 2, len(x))
    factor = 0.5 * np.minimum(np.exp(rng.normal(0, 0.5, x.shape[1])), 2.0)
    return Cells(rng.binomial(x, np.where(batch[:, None] == 1, factor, 1.0)), kind, batch)


def read(counts: str, labels: str | None, seed: int, cells: int, genes: int, half: str = "none") -> Cells:
    """Some cells of a file with their most variable genes, in two batches."""
    if counts.endswith(".h5ad"):
        import h5py

        with h5py.File(counts) as file:
            x, kind = np.asarray(file["X"]), np.asarray(file["obs/labels"])
    else:
        x = scipy.sparse.load_npz(counts).toarray()
        kind = np.unique(np.load(labels or ""), return_inverse=True)[1]
    if half == "none":
        kept = np.sort(np.random.default_rng(100 + seed).permutation(len(x))[:cells])
    else:
        order, middle = np.random.default_rng(20).permutation(len(x)), len(x) // 2
        kept = np.sort(order[:middle] if half == "choose" else order[middle:])
    x, kind = x[kept].astype(np.int64), kind[kept]
    return in_batches(x[:, np.sort(np.argsort(-log_normalised(x).var(axis=0))[:genes])], kind, seed)


def mixed(z: np.ndarray, batch: np.ndarray, k: int = 90, perplexity: float = 30.0) -> float:
    """The inverse Simpson index of batches among neighbours (iLISI; Korsunsky et al., 2019): 1 apart, 2 mixed."""
    distance, near = NearestNeighbors(n_neighbors=k + 1).fit(z).kneighbors(z)
    found = []
    for d, row in zip(distance[:, 1:], near[:, 1:]):
        low, high, weight = 1e-6, 1e6, np.ones(k)
        for _ in range(50):
            beta = np.sqrt(low * high)
            weight = np.exp(-beta * (d - d.min()))
            weight /= weight.sum()
            flat = -np.sum(weight * np.log(weight + 1e-300)) > np.log(perplexity)
            low, high = (beta, high) if flat else (low, beta)
        found.append(1.0 / np.sum(np.bincount(batch[row], weights=weight, minlength=2) ** 2))
    return float(np.mean(found))


def depth_left(z: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """The largest correlation of a code with the logarithm of depth, and their mean."""
    depth = np.log(np.maximum(x.sum(axis=1), 1))
    found = [abs(np.corrcoef(column, depth)[0, 1]) if column.std() > 0 else 0.0 for column in z.T]
    return max(found), float(np.mean(found))


def said(name: str, z: np.ndarray, cells: Cells, seconds: float) -> str:
    """One line of a set of codes."""
    most, mean = depth_left(z, cells.x)
    types, mixing = float(same_type(z, cells.kind).mean()), mixed(z, cells.batch)
    return (
        f"{name:8} types {types:.3f}  batches {mixing:.2f}  depth {most:.2f} at most, {mean:.2f} mean  {seconds:.0f} s"
    )


def trained_on(cells: Cells, seed: int, settings: dict[str, Any]) -> tuple[Any, Any, float]:
    """A model of the recipe `cells`, its data and the seconds it took."""
    told = {"batch": np.array(["a", "b"])[cells.batch]}
    data = latens.read(cells.x.astype(np.float32), counts=True, condition=told)
    began = time.process_time()
    config = override(latens.recipes.get_recipe("cells").config, {"training.seed": seed, **settings})
    model, _ = latens.fitting.train(latens.fitting.prepare(config, data))
    return model, data, time.process_time() - began


def scvi_codes(cells: Cells, seed: int, epochs: int | None = None) -> tuple[Any, Any, float]:
    """A model of scvi-tools with its defaults and a negative binomial, its AnnData and the seconds it took."""
    import anndata  # pyright: ignore[reportMissingImports]
    import scvi  # pyright: ignore[reportMissingImports]

    scvi.settings.seed = seed
    adata = anndata.AnnData(cells.x.astype(np.float32))
    adata.obs["batch"], adata.obs["type"] = np.array(["a", "b"])[cells.batch], [f"t{one}" for one in cells.kind]
    scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
    model, began = scvi.model.SCVI(adata, gene_likelihood="nb"), time.process_time()
    model.train(max_epochs=epochs, accelerator="cpu", enable_progress_bar=False, logger=False)
    return model, adata, time.process_time() - began


def mixing(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Print codes of latens and principal components, seed by seed."""
    for seed in range(options.first, options.first + options.seeds):
        labels = options.files[1] if len(options.files) > 1 else None
        cells = simulated(seed)
        if options.files:
            cells = read(options.files[0], labels, seed, options.cells, options.genes, options.half)
        began = time.process_time()
        z = components(cells.x, 30)
        print(f"seed {seed}: {said('PCA-30', z, cells, time.process_time() - began)}", flush=True)
        if options.scvi:
            model, _, seconds = scvi_codes(cells, seed, options.epochs)
            print(f"seed {seed}: {said('scVI', model.get_latent_representation(), cells, seconds)}", flush=True)
            continue
        trained, data, seconds = trained_on(cells, seed, settings)
        print(f"seed {seed}: {said('latens', trained.encode(data), cells, seconds)}", flush=True)
        test, train = data.subset("test"), data.subset("train")
        found = evidence.log_marginal(trained.rows(data, test), num_samples=50)
        given = data.cond["given"]
        alone = depth_baseline(cells.x[train] * 1.0, cells.x[test] * 1.0, (given[train], given[test])).sum(axis=1)
        gain = found - alone
        print(
            f"         gain over genes alone {gain.mean():.2f} ± {gain.std(ddof=1) / len(gain) ** 0.5:.2f} nats a cell",
            flush=True,
        )


def write(path: str, seed: int) -> None:
    """Write simulated cells as AnnData, log-normalised with the counts as a layer."""
    import anndata  # pyright: ignore[reportMissingImports]
    import pandas as pd

    cells = simulated(seed)
    adata = anndata.AnnData(scipy.sparse.csr_matrix(log_normalised(cells.x).astype(np.float32)))
    adata.layers["counts"] = scipy.sparse.csr_matrix(cells.x.astype(np.int32))
    adata.obs_names = [f"cell{i}" for i in range(len(cells.x))]
    adata.var_names = [f"gene{j}" for j in range(cells.x.shape[1])]
    # Texts of numpy's: pandas 3 makes others of them, which anndata 0.12 writes only where it is told to.
    pd.set_option("future.infer_string", False)
    adata.obs.index, adata.var.index = (one.index.astype(object) for one in (adata.obs, adata.var))
    adata.obs["donor"] = pd.Categorical(np.array(["a", "b"], object)[cells.batch])
    adata.obs["type"] = pd.Categorical(np.array([f"t{kind}" for kind in cells.kind], object))
    adata.write_h5ad(Path(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("mixing", "simulate"))
    parser.add_argument("files", nargs="*")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, default=0, help="of simulate")
    parser.add_argument("--cells", type=int, default=2100)
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--half", choices=("none", "choose", "report"), default="none")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--epochs", type=int, help="of scVI (default: its own)")
    parser.add_argument("--scvi", action="store_true", help="scvi-tools in the place of latens")
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    enable_compilation_cache()
    settings = {"training.steps": options.steps} | dict(item.split("=", 1) for item in options.set)
    if options.what == "simulate":
        return write(options.files[0], options.seed)
    return mixing(options, settings)


if __name__ == "__main__":
    main()
