# Written by `python -m latens.commands._stub`.
from typing import Any, Literal

from latens.commands.base import Result

class Methods:
    def detect(
        self,
        data: Any,
        alpha: float = 0.05,
        held_out: Any = None,
        cells: int | None = None,
        num_samples: int | None = None,
        seed: int = 0,
        top: int | None = None,
    ) -> Result:
        """Find unusual rows, with p-values: `latens detect`."""
    def evaluate(
        self,
        data: Any = None,
        unknown: Literal['error', 'missing', 'skip'] = 'error',
        num_samples: int | None = None,
        all: bool = False,
        seed: int = 0,
    ) -> Result:
        """Measure held-out log p(x), or compare runs: `latens evaluate`."""
    def forecast(
        self,
        data: Any,
        steps: int,
        draws: int = 200,
        backtest: bool = False,
        particles: int | None = None,
        seed: int = 0,
    ) -> Result:
        """Forecast the next steps of sequences: `latens forecast`."""
    def refit(
        self,
        data: Any = None,
        prior: Literal['normal', 'mixture', 'full-mixture', 'flow', 'flow-matching', 'transformer', 'aggregate'] = 'mixture',
        components: int | None = None,
        layers: int | None = None,
        together: int | None = None,
        width: int | None = None,
        guidance: float | None = None,
        steps: int | None = None,
        num_samples: int | None = None,
        force: bool = False,
        seed: int = 0,
        out: str = '',
    ) -> Result:
        """Fit another prior to a trained model: `latens refit`."""
    def report(
        self,
        data: Any = None,
        only: Literal['figures', 'animation'] | None = None,
        name: str | None = None,
        theme: Literal['light', 'dark'] = 'light',
        given: list[str] | None = None,
        manifold_cells: int | None = None,
        manifold_range: Literal['linear', 'percentile'] | None = None,
        percentiles: tuple[float, float] | None = None,
        between: str | None = None,
        path: Literal['spherical', 'linear'] = 'spherical',
        frames: int | None = None,
        fps: float = 12.0,
        seed: int = 0,
        out: str = '',
    ) -> Result:
        """Write an HTML page, figures or an animation: `latens report`."""
    def translate(
        self,
        data: Any,
        start: str,
        end: str,
        mean: bool | None = None,
        seed: int = 0,
    ) -> Result:
        """Decode rows of one class as another: `latens translate`."""
