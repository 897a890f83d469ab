"""What a model file says of how it was made: equal trainings say the same, and no path of a machine is in it."""

import json
import os
import re
import shlex
import time
from collections.abc import Mapping
from typing import Any

from latens import __version__
from latens.config import Config, to_json
from latens.recipes import get_recipe
from latens.verbs._sources import read_with


def made(info: Mapping[str, Any], config: Config) -> dict[str, str]:
    """The version, the day (of SOURCE_DATE_EPOCH, where it is set) and a command that makes the model again."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    day = time.strftime("%Y-%m-%d", time.gmtime(int(epoch))) if epoch.isdecimal() else str(info["created"])[:10]
    return {"latens": __version__, "date": day, "command": command_of(info["data"], config)}


def command_of(source: Mapping[str, Any], config: Config) -> str:
    """A command of this configuration, with every option that is not the recipe's own; DATA without its folder."""
    words = ["latens", "fit", re.split(r"[\\/]", str(source.get("spec", "DATA")).rstrip("\\/"))[-1]]
    for flag, value in read_with(source).items():
        words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    words += ["--recipe", config.recipe]
    own, theirs = to_json(config), to_json(get_recipe(config.recipe).config)
    for part, options in own.items():
        for name, value in options.items() if isinstance(options, dict) else ():
            if value != theirs[part].get(name):
                text = (
                    value
                    if isinstance(value, str)
                    else "none"
                    if value is None
                    else json.dumps(value, separators=(",", ":"))
                )
                words += ["--set", f"{part}.{name}={text}"]
    return shlex.join(words)
