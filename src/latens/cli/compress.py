"""`latens compress`: rows as a file of bits that the model gives back exactly."""

from latens.cli.context import Context, output_path, would
from latens.cli.sources import load_for, open_vae
from latens.io.atomic import write_atomic


def compress(context: Context) -> int:
    """Code rows without loss.

    Args:
        context: The call of the command.

    Returns:
        The exit code.
    """
    args = context.args
    out = output_path(args, (".bits",), args.data, args.run)
    opened = open_vae(args.run, "compress")
    data = load_for(opened, context, every=True)
    if args.dry_run:
        return would(context, f"code {len(data)} rows of {data.name}", out)
    from latens.workflow.compress import compress as code

    raw, told = code(opened.trained, data)
    write_atomic(out, raw)
    share = told["bits"] / told["negative_elbo_bits"] - 1
    words = f"{out}: {told['rows']} rows in {told['bits']:,} bits, {told['bits_per_dimension']:.4f} a dimension"
    line = f"{words}, {100 * share:+.2f} % against the ELBO"
    context.done({"out": str(out), **told, "over_elbo": share}, line)
    return 0
