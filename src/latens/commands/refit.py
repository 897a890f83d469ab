"""`latens refit`: a trained model with another prior, beside the old one."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.commands.base import Call, DryRun, ModelCommand, Result, Work, arg, count, draws, number, units, whole
from latens.errors import DataError
from latens.runtime.file_limits import free_name

if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.evidence.estimate import Estimate
    from latens.trained.prior_refit import Refitted

PRIORS = (
    "normal", "mixture", "full-mixture", "flow", "flow-matching", "transformer", "aggregate",
)  # fmt: skip
_WIDTH = "hidden units of the networks of a flow, flow matching or a transformer"
_GUIDANCE = "for flow matching with labels: above 1, samples are clearer examples of their class (default 1)"
_STEPS = "training steps of the prior (default 2000; flow matching 8000)"
_TOGETHER = "codes that a transformer draws at once, a divisor of the number of codes (default 1)"
_OPTIONS = ("components", "layers", "width", "guidance", "together")


class Refit(ModelCommand):
    """Fit another prior to a trained model."""

    endings: ClassVar = ()
    takes_out: ClassVar = ("PATH", "a run folder or a .safetensors file (default: RUN-PRIOR)")
    needs_latents: ClassVar = False
    data: Annotated[Any, arg("default: the data of the run", "DATA")] = None
    prior: Annotated[str, arg("the kind of prior (default mixture)", choices=PRIORS)] = "mixture"
    components: Annotated[int | None, arg("components, or rows of aggregate", metavar="N", kind=units)] = None
    layers: Annotated[
        int | None, arg("layers of a flow, or blocks of a transformer", metavar="N", kind=whole(1, 1000))
    ] = None  # fmt: skip
    together: Annotated[int | None, arg(_TOGETHER, metavar="N", kind=units)] = None
    width: Annotated[int | None, arg(_WIDTH, metavar="N", kind=units)] = None
    guidance: Annotated[float | None, arg(_GUIDANCE, metavar="W", kind=number(0.0, 100.0))] = None
    steps: Annotated[int | None, arg(_STEPS, metavar="N", kind=count)] = None
    num_samples: Annotated[int | None, arg("draws a row for log p(x) (default 100)", metavar="K", kind=draws)] = None
    force: Annotated[bool, arg("replace an earlier run in --out")] = False
    seed: Annotated[int, arg("the seed (default 0)", metavar="S", kind=whole(0, 2**32 - 1))] = 0

    def place(self, at: Call) -> Path:
        if at.asked:
            path = Path(at.asked)
            return self.checked_out(at.asked, (".safetensors",)) if path.suffix.lower() == ".safetensors" else path
        if at.run is not None:
            path = at.run.path if at.run.path.name.strip(".") else at.run.path.resolve()
            return Path(free_name(str(path.with_name(f"{path.name}-{self.prior}")), ""))
        name = Path(at.name.removeprefix("pretrained:"))
        return Path(free_name(str(name.with_name(f"{name.stem}-{self.prior}")), ".safetensors"))

    def __call__(self, at: Call) -> Work:
        from latens.trained.prior_refit import refit_prior

        data, out = at.load(), at.out
        if not at.knows(data):
            fix = "Use the training data: a prior is fitted to the posteriors of training rows."
            what, where = "the model was trained on other data.", self.data if isinstance(self.data, str) else at.name
            raise DataError(what, where=str(where), fix=fix)
        rows = data.count("train")
        what = f"fit a {self.prior} prior to the posteriors of {rows} rows"
        told = {"out": str(out), "prior": self.prior, "rows": rows}
        yield DryRun(f"{what}, into {out}; nothing was written", told)
        options = {name: getattr(self, name) for name in _OPTIONS if getattr(self, name) is not None}
        draws = self.num_samples or 100
        given = {"options": options, "steps": self.steps, "num_samples": draws, "seed": self.seed}
        found = refit_prior(at.trained, data, self.prior, **given)
        value: dict[str, Any] = {"prior": self.prior, "rows": rows}
        value["gain"] = None if found.gain is None else found.gain.to_json()
        if found.warning:
            at.warn(found.warning)
        text = f"{rows} training rows, a {self.prior} prior{_gained(found.gain)}"
        if not at.writes:
            return Result(trained=found.trained, value=value, text=text)
        file = out.suffix.lower() == ".safetensors"
        model = found.trained.save(out) if file else self._into_run(at, data, found, draws)
        following = f"latens {'sample' if file else 'report'} {shlex.quote(str(out))}"
        value |= {"model": str(model), "next": following}
        return Result(trained=found.trained, value=value, text=f"{out}: {text}\nnext: {following}")

    def _into_run(self, at: Call, data: "Dataset", found: "Refitted", draws: int) -> Path:
        """The model as a run of its own, measured like one that was trained."""
        from latens.commands._sources import source_of
        from latens.config import to_json
        from latens.runs.folder import RunFolder
        from latens.trained.metric_functions import held_out_rows, summary_of

        trained, config = found.trained, found.trained.config
        assert config is not None
        if at.run is not None:
            source = at.run.info["data"]
        else:
            source = source_of({**at.flags, "data": self.data if isinstance(self.data, str) else data.name})
            source |= {"fingerprint": data.fingerprint, "name": data.name, "shape": list(data.schema.shape)}
        command = ["latens", *at.typed]
        with RunFolder.create(at.out, command, to_json(config), source, self.seed, force=self.force) as run:
            trained.save(run.model_file)
            split, positions = held_out_rows(data)
            measured = summary_of(trained, data, split, positions, num_samples=draws, seed=self.seed)
            facts = {"split": split, "held_out": measured.held_out}
            trained.with_facts(metrics=measured.to_json(seconds=False), **facts).save(run.model_file)
            run.set_state(
                "done",
                step=trained.facts.get("steps") or 0,
                best_step=trained.facts.get("best_step") or 0,
                stopped_because=f"a {self.prior} prior was fitted to {at.name}",
                refitted={"from": at.name, "prior": self.prior},
                gain=None if found.gain is None else found.gain.to_json(),
                metrics=measured.to_json(),
                warnings=measured.warnings_json(),
                units=list(measured.units),
                summary=measured.text(),
                **facts,
            )
        return run.model_file


def _gained(gain: "Estimate | None") -> str:
    if gain is None:
        return "; you can now sample from the autoencoder, but it has no log p(x)"
    what = gain.protocol.split(" with the refitted prior")[0]
    rows = next((split for split in ("test", "validation") if f"{split} rows" in gain.protocol), "training")
    return f"; {what} of {gain.n} {rows} rows changed by {gain.value:+.2f} ± {gain.standard_error:.2f} nats"
