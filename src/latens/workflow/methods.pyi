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
    def compare(
        self,
        others: Any = (),
        num_samples: int | None = None,
        seed: int = 0,
        format: Literal['text', 'markdown', 'latex'] = 'text',
        data: Any = None,
    ) -> Made:
        """Runs against each other on the same held-out rows, with intervals: `latens compare`."""
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
    def evaluate(
        self,
        data: Any = None,
        unknown: Literal['error', 'missing', 'skip'] = 'error',
        num_samples: int | None = None,
        all: bool = False,
        seed: int = 0,
    ) -> Made:
        """Held-out numbers with their standard errors: `latens evaluate`."""
    def export(
        self,
        out: str,
        format: Literal['onnx'] = 'onnx',
    ) -> Made:
        """The encoder, the decoder and the ELBO as ONNX files, checked: `latens export`."""
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
