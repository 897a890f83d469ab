"""`latens completion`: a script for the shell, made from the parser, so that it never falls behind."""

from latens.cli.arguments import subparsers
from latens.cli.context import Context

_INSTALL = {
    "bash": '# put into ~/.bashrc:  eval "$(latens completion bash)"',
    "zsh": '# put into ~/.zshrc:  eval "$(latens completion zsh)"',
    "fish": "# latens completion fish > ~/.config/fish/completions/latens.fish",
}


def completion(context: Context) -> int:
    """Print the completion script of a shell."""
    shell = context.args.shell
    flags = commands()
    script = _fish(flags) if shell == "fish" else _bash(flags)
    if shell == "zsh":
        script = "autoload -U +X bashcompinit && bashcompinit\n" + script
    text = f"{_INSTALL[shell]}\n{script}"
    context.result({"shell": shell, "script": text}, text)
    return 0


def commands() -> dict[str, list[str]]:
    """List every command with its flags."""
    return {
        name: [flag for action in sub._actions for flag in action.option_strings if flag.startswith("--")]
        for name, sub in subparsers().items()
    }


def _bash(flags: dict[str, list[str]]) -> str:
    cases = "\n".join(f"    {name}) words='{' '.join(words)}';;" for name, words in flags.items())
    return f"""_latens() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words=''
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '{" ".join(flags)}' -- "$current")); return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  if [[ "$current" == -* ]]; then COMPREPLY=($(compgen -W "$words" -- "$current"))
  else COMPREPLY=($(compgen -f -- "$current")); fi
}}
complete -o filenames -F _latens latens"""


def _fish(flags: dict[str, list[str]]) -> str:
    lines = [f"complete -c latens -n __fish_use_subcommand -a '{' '.join(flags)}'"]
    for name, words in flags.items():
        lines += [f"complete -c latens -n '__fish_seen_subcommand_from {name}' -l {word[2:]}" for word in words]
    return "\n".join(lines)
