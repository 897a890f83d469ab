"""`latens completion`: a script for the shell, made from the parser by shtab."""

from latens.cli.arguments import parser
from latens.cli.context import Context

_INSTALL = {
    "bash": '# put into ~/.bashrc:  eval "$(latens completion bash)"',
    "zsh": '# put into ~/.zshrc:  eval "$(latens completion zsh)"',
    "fish": "# latens completion fish > ~/.config/fish/completions/latens.fish",
}


def completion(context: Context) -> int:
    """Print the completion script of a shell."""
    import shtab

    shell = context.args.shell
    text = f"{_INSTALL[shell]}\n{shtab.complete(parser(), shell)}"
    context.result({"shell": shell, "script": text}, text)
    return 0
