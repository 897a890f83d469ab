"""`latens sample`: new rows from a model."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from latens import evaluation
from latens.cli.context import Context, free_name, output_path, would
from latens.cli.sources import Opened, load_partial, open_vae
from latens.config import ClassifierConfig
from latens.data.conditions import Conditions, parse_conditions
from latens.data.mixed import as_columns
from latens.data.schema import image_shape
from latens.errors import ConfigError, UsageError
from latens.evaluation.samples.conditional import sample_given
from latens.pictures.images import shown, write_image
from latens.typing import Key
from latens.verbs._files import formula_note, formulas, write_npz, write_table
from latens.verbs._tables import table_as_written
from latens.workflow.sample_sets import lacks_prior
from latens.workflow.trained import TrainedModel


def sample(context: Context) -> int:
    """Write new rows: z from the prior, then a draw from p(x | z), or its mean."""
    args = context.args
    opened = open_vae(args.run, "sample")
    trained = opened.trained
    mixed = trained.schema.kind == "mixed"
    ending = "csv" if mixed else "png" if image_shape(trained.schema) else "npz"
    args.out = args.out or free_name(f"samples.{ending}")
    out = output_path(args, (".csv", ".parquet", ".npz") if mixed else (".npz", ".png"), args.run, args.complete)
    _refuse_temperature(args, trained)
    if args.complete is not None:
        return _completed(context, opened, out)
    args.n = 16 if args.n is None else args.n
    if mixed and args.mean:
        what = "the columns of a mixed table have names and dates, which have no mean."
        raise UsageError(what, where="--mean", fix="Leave it out: samples are drawn.")
    conditions = None
    if args.where:
        if args.label is not None or trained.preparation.classes:
            what = "a model that reads labels is asked for a class by --label."
            raise UsageError(what, where="--where", fix="Fit the table with --label none to ask for any column.")
        conditions = parse_conditions(args.where, trained.schema)
    if lacks_prior(trained):
        fix = "Fit one with `latens refit RUN --prior mixture`, or use a VAE's recipe."
        raise ConfigError("an autoencoder has no prior to sample from.", where=args.run, fix=fix)
    if args.dry_run:
        return would(context, f"draw {args.n} samples", out)
    if conditions is not None:
        return _conditional(context, trained, conditions, out)
    chosen = trained.in_turn(args.n) if args.label is None else np.full(args.n, _class_of(trained, args.label))
    known = formulas(trained.schema) if mixed else ()
    arrays = _drawn(trained, args.n, args.mean, jax.random.key(args.seed), chosen, args.temperature)
    evaluation.finite(arrays["x"], "x", where=args.run)
    if mixed:
        beside = {} if chosen is None else {"label": arrays["label"]}
        write_table(out, as_columns(arrays["x"], trained.schema) | beside, trained.schema, known=known)
    elif out.suffix.lower() == ".npz":
        write_npz(out, arrays)
    elif chosen is not None and args.label is None:
        images, columns = _by_class(shown(trained.schema, arrays["x"]), chosen)
        write_image(out, images, columns=columns)
    else:
        write_image(out, shown(trained.schema, arrays["x"]))
    told: dict[str, Any] = {"out": str(out), "rows": args.n, "shape": list(arrays["x"].shape)}
    text = f"{out}: {args.n} {'means of samples' if args.mean else 'samples'}"
    if args.temperature != 1.0:
        told["temperature"], text = args.temperature, f"{text} at a temperature of {args.temperature:g}"
    context.done(told, text + formula_note(known, out))
    return 0


def _refuse_temperature(args: Any, trained: TrainedModel) -> None:
    """A UsageError where another temperature than 1 would change nothing."""
    if args.temperature == 1.0:
        return
    asked = "--where" if args.where else "--complete" if args.complete else None
    if asked or isinstance(trained.config, ClassifierConfig):
        what = f"with {asked} z is drawn given a row" if asked else "a Bayes classifier has no z"
        raise UsageError(f"{what}.", where="--temperature", fix="Leave it out.")


def _conditional(context: Context, trained: TrainedModel, conditions: Conditions, out: Path) -> int:
    """Rows of a mixed table under conditions."""
    args = context.args
    found = sample_given(trained.model, conditions, args.n, key=jax.random.key(args.seed))
    known = formulas(trained.schema)
    write_table(out, as_columns(found.x, trained.schema), trained.schema, known=known)
    share = np.exp(found.log_probability)
    words = f"{out}: {args.n} samples where {' and '.join(args.where)}"
    worth = f"{found.effective:,.0f} of {found.draws:,} draws of z"
    text = f"{words}\nthe model holds that of {share:.3%} of the rows; effective sample size {worth}"
    if found.effective < 0.1 * args.n:
        text += (
            "\nfewer than a tenth as many as the samples: they share latents, and are less varied than they should be"
        )
    context.done(
        {
            "out": str(out),
            "rows": args.n,
            "shape": list(found.x.shape),
            "where": args.where,
            "probability": float(share),
            "effective_sample_size": found.effective,
            "draws": found.draws,
        },
        text + formula_note(known, out),
    )
    return 0


def _completed(context: Context, opened: Opened, out: Path) -> int:
    """Rows of a mixed table with their empty cells drawn given the others."""
    args, trained = context.args, opened.trained
    for flag, given in (("--where", args.where), ("--label", args.label), ("--mean", args.mean)):
        if given:
            what = "every row of --complete says itself what is known of it, and the rest is drawn."
            raise UsageError(what, where=flag, fix="Leave it out, or write a column into the file.")
    if trained.schema.types is None or trained.is_point:
        what = "only a VAE of a mixed table completes rows."
        raise ConfigError(what, where="--complete", fix="Train with `latens fit DATA --typed`, or use `latens impute`.")
    if out.suffix.lower() == ".npz":
        what = "completed rows keep their text as it is written, which is no array."
        raise UsageError(what, where=f"--out {out}", fix="Use --out FILE.csv or FILE.parquet.")
    data = load_partial(opened, args.complete)
    n = len(data) if args.n is None else args.n
    if n < len(data):
        what = f"{n} is fewer than the {len(data)} rows of {args.complete}."
        raise UsageError(what, where="-n", fix="Leave it out for one row each, or give more: they are taken in turn.")
    if args.dry_run:
        return would(context, f"complete {len(data)} rows to {n}", out)
    found = evaluation.impute(
        trained.model, trained.batch(data), num_draws=-(-n // len(data)), key=jax.random.key(args.seed),
        preparation=trained.preparation,
    )  # fmt: skip
    evaluation.finite(found.draws, "x", where=args.run)
    row, turn = np.arange(n) % len(data), np.arange(n) // len(data)
    hidden = np.zeros(data.x.shape, bool) if data.mask is None else ~data.mask
    parts = [table_as_written(data, found.draws[:, k], hidden, Path(args.complete), out) for k in range(turn[-1] + 1)]
    own = [column.name for column in trained.schema.columns or ()]
    names = [*(name for name in parts[0] if name not in own), *own]
    known = formulas(trained.schema)
    write_table(out, {name: np.concatenate([part[name] for part in parts])[:n] for name in names}, known=known)
    few = int((found.effective[hidden.any(axis=1)] < 10).sum())
    text = f"{out}: {n} rows, {int(hidden[row].sum())} cells of which were drawn"
    if few:
        text += f"\n{few} of the {len(data)} rows hang on fewer than 10 draws of z: they vary too little"
    text += formula_note(known, out)
    context.done({"out": str(out), "rows": n, "drawn": int(hidden[row].sum()), "rows_on_few_draws": few}, text)
    return 0


def _class_of(trained: TrainedModel, name: str) -> int:
    """The code of a class, of any model that has classes; a UsageError names the nearest one."""
    names = trained.schema.classes or ()
    if isinstance(trained.config, ClassifierConfig) and name in names:
        return names.index(name)
    return trained.code_of(name)


def _by_class(images: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, int]:
    """Images in rows, one for each class, and how many columns that makes; gaps are left empty."""
    rows = [images[codes == code] for code in np.unique(codes)]
    columns = max(map(len, rows))
    blank = np.zeros((columns, *images.shape[1:]), images.dtype)
    return np.concatenate([np.concatenate([row, blank[len(row) :]]) for row in rows]), columns


def _drawn(
    trained: TrainedModel, n: int, mean: bool, key: Key, codes: np.ndarray | None = None, temperature: float = 1.0
) -> dict[str, np.ndarray]:
    """New rows in the units of the data, with what they were made from: z and the label, or class and component."""
    if isinstance(trained.config, ClassifierConfig):
        drawn = evaluation.sample_classes(trained.model, n, key=key, label=None if codes is None else int(codes[0]))
        x = trained.data_units(drawn.component_mean if mean else drawn.x, mean=mean)
        label = {"label": np.array(trained.schema.classes)[drawn.label]} if trained.schema.classes else {}
        return {"x": x, **label, "component": drawn.component}
    prior_key, event_key = jax.random.split(key)
    cond = trained.condition(codes)
    z = evaluation.sample_prior(trained.model, n, key=prior_key, cond=cond, temperature=temperature)
    values = evaluation.decode(trained.model, z, key=event_key, mean=mean, cond=cond)
    label = {} if codes is None else {"label": np.array(trained.classes)[codes]}
    return {"x": trained.data_units(values, mean=mean), "z": z, **label}
