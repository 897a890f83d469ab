"""`latens help`: pages of the documentation in the terminal, the same that the site shows."""

from pathlib import Path

import latens
from latens.cli.arguments import COMMANDS, subparsers
from latens.cli.context import Context
from latens.errors import UsageError, nearest
from latens.io.terminal import table

TOPICS = {
    "errors": "exit and error codes, and what to do about each",
    "data": "file formats, labels, and what is refused",
    "how-to-choose": "likelihood, number of latent dimensions, recipe",
    "missing-values": "training with missing cells, and filling them in",
    "evaluate": "what each number can and cannot say",
    "resume": "stop a run and go on with it",
    "run-folder": "the files of a run",
    "file-format": "the bytes of a model file",
    "reliability": "what goes wrong, and what is promised",
}
"""name of a page (docs/NAME.md) -> what it is about."""


def help(context: Context) -> int:
    """Print a page, the flags of a command, or the list of topics."""
    topic = context.args.topic
    if topic is None:
        end = "`latens help TOPIC` prints a page, `latens help COMMAND` the flags of a command."
        context.result({"topics": TOPICS}, f"topics:\n{table(list(TOPICS.items()), indent='  ')}\n\n{end}")
        return 0
    if topic not in TOPICS and topic not in COMMANDS:
        raise UsageError(f"there is no topic {topic!r}.", where="latens help", fix=nearest(topic, [*TOPICS, *COMMANDS]))
    text = page(topic) if topic in TOPICS else subparsers()[topic].format_help()
    context.result({"topic": topic, "text": text}, text.rstrip())
    return 0


def page(topic: str) -> str:
    """Read a page: part of an installed package, and in docs/ of a source tree."""
    package = Path(latens.__file__).parent
    for folder in (package / "help", package.parents[1] / "docs"):
        path = folder / f"{topic}.md"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise UsageError(f"this installation lacks its page {topic!r}.", where="latens help", fix="Install latens again.")
