"""`latens impute`: a table with its missing cells filled in."""

import jax
import numpy as np

from latens import evaluation
from latens.commands.context import Context, output_path
from latens.commands.files import write_table
from latens.commands.sources import load_for, open_model
from latens.config import VAEConfig
from latens.data import Dataset
from latens.errors import ConfigError, UsageError


def impute(context: Context) -> int:
    """Write every row with E[x_missing | x_observed] in its missing cells; observed cells stay as they are."""
    args = context.args
    out = output_path(args, (".npz", ".csv", ".parquet"), args.data, args.run)
    if args.draws and out.suffix.lower() != ".npz":
        raise UsageError("a table holds one value a cell.", where="--draws", fix="Use --out FILE.npz.")
    opened = open_model(args.run)
    config = opened.trained.config
    if not isinstance(config, VAEConfig) or config.posterior.kind == "deterministic":
        what = "only a model with log p(x) can say what a missing cell may have been."
        raise ConfigError(what, where=args.run, fix="Train a VAE, best with --recipe miwae-missing.")
    args.missing = args.missing or "nan"  # what is missing is what this command is for
    data = load_for(opened, context)
    hidden = np.zeros(data.x.shape, bool) if data.mask is None else ~data.mask
    count = int(hidden.sum())
    if args.dry_run:
        context.say(f"would fill in {count} of {hidden.size} cells of {data.name} into {out}; nothing was written")
        context.result({"dry_run": True, "out": str(out), "rows": len(data), "missing": count})
        return 0
    trained = opened.trained
    found = evaluation.impute(
        trained.model,
        trained.batch(data),
        num_samples=args.num_samples,
        num_draws=args.draws or 0,
        key=jax.random.key(args.seed),
        preparation=trained.preparation,
    )
    x = np.where(hidden, trained.data_units(found.mean, mean=True), data.x)
    arrays = _table(data, x) if out.suffix.lower() != ".npz" else {"x": x, "mask": ~hidden, **_beside(data)}
    if args.draws:
        drawn = trained.data_units(found.draws, mean=False)
        arrays["draws"] = np.where(hidden[:, None], drawn, data.x[:, None])
    write_table(out, arrays)
    few = int((found.effective[hidden.reshape(len(x), -1).any(axis=1)] < 10).sum())
    value = {"out": str(out), "rows": len(data), "missing": count, "num_samples": args.num_samples}
    text = f"{out}: {count} of {hidden.size} cells filled in, {len(data)} rows"
    if few:
        text += f"\n{few} rows hang on fewer than 10 of the {args.num_samples} draws: a larger --num-samples is safer"
    context.done({**value, "rows_on_few_draws": few}, text)
    return 0


def _beside(data: Dataset) -> dict[str, np.ndarray]:
    """Names and labels of the rows, where the data brought some."""
    own = not np.array_equal(data.names, np.arange(len(data)))
    words = np.array([*(data.schema.classes or ()), ""])
    arrays = {"row_id": data.names} if own else {}
    return arrays if data.label is None else {**arrays, "label": words[data.label]}


def _table(data: Dataset, x: np.ndarray) -> dict[str, np.ndarray]:
    """One array for each column, by its name; whole numbers of the data stay whole where nothing was filled in."""
    flat = x.reshape(len(x), -1)
    columns = data.schema.columns
    names = [c.name for c in columns] if columns is not None else [f"x{i}" for i in range(flat.shape[1])]
    beside = {name: array for name, array in _beside(data).items() if name not in names}
    return {**beside, **{name: flat[:, i] for i, name in enumerate(names)}}
