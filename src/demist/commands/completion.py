"""`demist completion`: a script by which a shell completes commands and flags."""

import contextlib
import importlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from demist.commands.shared import read


@dataclass(frozen=True)
class Options:
    """Print what makes a shell complete commands and flags: eval "$(demist completion bash)"."""

    shell: Annotated[Positional[Literal["bash", "zsh"]], arg(metavar="bash|zsh")] = "bash"
    """The shell."""


SCRIPT = """\
_demist() {
  local word="${COMP_WORDS[COMP_CWORD]}" flags=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "COMMANDS" -- "$word"))
    return
  fi
  case "${COMP_WORDS[1]}" in
CASES
  esac
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _demist demist"""


def main(args: list[str]) -> None:
    """Print the script."""
    options = read(Options, "completion", args)
    flags = {name: flags_of(name) for name in commands()}
    cases = [f'    {name}) flags="{" ".join(found)}" ;;' for name, found in flags.items()]
    if options.shell == "zsh":
        print("autoload -U +X bashcompinit && bashcompinit")
    print(SCRIPT.replace("COMMANDS", " ".join(flags)).replace("CASES", "\n".join(cases)))


def commands() -> list[str]:
    """Names of all commands."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [f.stem for f in files if "\nclass Options" in f.read_text(encoding="utf-8")]


def flags_of(command: str) -> list[str]:
    """The flags of a command, as its help shows them."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        importlib.import_module(f"demist.commands.{command}").main(["--help"])
    return sorted(set(re.findall(r"^\W*(--[a-z][\w-]*)", text.getvalue(), re.MULTILINE)))
