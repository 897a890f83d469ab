# Written by `python -m latens.verbs._stub`.
from typing import Any, Literal

from latens.verbs.kernel import Made

class Methods:
    def animate(
        self,
        kind: Literal['morph', 'walk', 'manifold', 'latent'],
        data: Any = None,
        between: str | None = None,
        path: Literal['spherical', 'linear'] = 'spherical',
        frames: int | None = None,
        fps: float = 12.0,
        manifold_cells: int | None = None,
        manifold_range: Literal['linear', 'percentile'] | None = None,
        percentiles: tuple[float, float] | None = None,
        theme: Literal['light', 'dark'] = 'light',
        given: list[str] | None = None,
        seed: int = 0,
        out: str = '',
    ) -> Made:
        """Moving pictures: morphs, random walks, and how the latent space came about in training: `latens animate`."""
    def augment(
        self,
        data: Any,
        per_class: int,
        draw: Literal['rows', 'class'] | None = None,
        mean: bool = False,
        seed: int = 0,
    ) -> Made:
        """More rows of each class: draws around labelled rows, or from p(x | class): `latens augment`."""
    def cluster(
        self,
        data: Any,
        groups: int | None = None,
        unknown: Literal['error', 'missing', 'skip'] = 'error',
        seed: int = 0,
    ) -> Made:
        """Rows that are alike, in groups: what tells each group, and its most typical rows: `latens cluster`."""
    def compare(
        self,
        others: Any = (),
        num_samples: int | None = None,
        seed: int = 0,
        format: Literal['text', 'markdown', 'latex'] = 'text',
        data: Any = None,
    ) -> Made:
        """Runs against each other on the same held-out rows, with intervals: `latens compare`."""
    def compress(
        self,
        data: Any,
    ) -> Made:
        """Rows without loss in as many bits as the model's ELBO says: `latens compress`."""
    def decompress(
        self,
        file: str,
    ) -> Made:
        """The rows that `latens compress` coded: `latens decompress`."""
    def contrast(
        self,
        data: Any,
        groups: str,
        column: str | None = None,
        within: list[str] | None = None,
        delta: float = 0.25,
        fdr: float = 0.05,
        own: bool = False,
        top: int = 20,
        num_samples: int = 25,
        unknown: Literal['error', 'missing', 'skip'] = 'error',
        given: list[str] | None = None,
        seed: int = 0,
        theme: Literal['light', 'dark'] = 'light',
    ) -> Made:
        """Which genes differ between two groups of cells: log fold changes and expected false discoveries: `latens contrast`."""
    def detect(
        self,
        data: Any,
        alpha: float = 0.05,
        held_out: Any = None,
        cells: int | None = None,
        num_samples: int | None = None,
        seed: int = 0,
        top: int | None = None,
        folds: int | None = None,
    ) -> Made:
        """Rows that are unlike the training rows: surprise, p-values, flags: `latens detect`."""
    def drift(
        self,
        data: Any,
        reference: Any = None,
        alpha: float = 0.01,
        fail_above: float | None = None,
        num_samples: int = 100,
        seed: int = 0,
    ) -> Made:
        """Columns of new rows that moved since training, and by how much: `latens drift`."""
    def evaluate(
        self,
        data: Any = None,
        unknown: Literal['error', 'missing', 'skip'] = 'error',
        num_samples: int | None = None,
        all: bool = False,
        seed: int = 0,
    ) -> Made:
        """Held-out numbers with their standard errors: `latens evaluate`."""
    def explain(
        self,
        target: str,
        by: list[str] | None = None,
        seed: int = 0,
        theme: Literal['light', 'dark'] = 'light',
    ) -> Made:
        """Which columns say most about a column: mutual information under the model: `latens explain`."""
    def export(
        self,
        out: str,
        format: Literal['onnx'] = 'onnx',
    ) -> Made:
        """The encoder, the decoder and the ELBO as ONNX files, checked: `latens export`."""
    def express(
        self,
        data: Any,
        unknown: Literal['error', 'missing', 'skip'] = 'error',
        given: list[str] | None = None,
        own: bool = False,
        total: float | None = None,
        num_samples: int = 25,
        draws: int = 0,
        seed: int = 0,
    ) -> Made:
        """Normalised expression of each gene in each cell: means and draws, of counts given totals: `latens express`."""
    def figures(
        self,
        data: Any = None,
        only: str | None = None,
        theme: Literal['light', 'dark'] = 'light',
        given: list[str] | None = None,
        manifold_cells: int | None = None,
        manifold_range: Literal['linear', 'percentile'] | None = None,
        percentiles: tuple[float, float] | None = None,
        out: str = '',
    ) -> Made:
        """Every picture that applies to a run, with the numbers behind it: `latens figures`."""
    def forecast(
        self,
        data: Any,
        steps: int,
        draws: int = 200,
        backtest: bool = False,
        particles: int | None = None,
        figure: bool = False,
        theme: Literal['light', 'dark'] = 'light',
        seed: int = 0,
    ) -> Made:
        """What follows sequences: draws, quantiles, bands: `latens forecast`."""
    def refit(
        self,
        data: Any = None,
        prior: Literal['normal', 'mixture', 'full-mixture', 'flow', 'autoregressive-codes', 'transformer', 'vae', 'aggregate'] = 'mixture',
        components: int | None = None,
        layers: int | None = None,
        together: int | None = None,
        latent_dim: int | None = None,
        width: int | None = None,
        steps: int = 2000,
        num_samples: int | None = None,
        force: bool = False,
        seed: int = 0,
        out: str = '',
    ) -> Made:
        """Another prior for a trained model, fitted to its latents: `latens refit`."""
    def translate(
        self,
        data: Any,
        start: str | None = None,
        end: str | None = None,
        mean: bool = False,
        num_samples: int | None = None,
        seed: int = 0,
    ) -> Made:
        """Rows of one class as another, or pictures as their pair, of models that know both: `latens translate`."""
