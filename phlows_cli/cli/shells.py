"""How the shells complete `phlows`: their scripts, and our answers to them.

The scripts hand over the line up to the cursor and print what comes back, so
they stay the same whatever the commands are.
"""

from __future__ import annotations

import os
from typing import Final

from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    split_arg_string,
)

BASH: Final = r"""# bash completion for phlows
# Load it with: eval "$(phlows completion bash)"

_phlows_completion() {
    local kind value help
    COMPREPLY=()
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
            word) COMPREPLY+=("$value") ;;
        esac
    done < <(_PHLOWS_COMPLETE=bash_complete _PHLOWS_LINE="${COMP_LINE:0:COMP_POINT}" \
        _PHLOWS_BREAKS="$COMP_WORDBREAKS" "$1" 2>/dev/null)
    # A word that ends in : or = goes on: no space after it.
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:=] ]] && compopt -o nospace
    return 0
}

complete -F _phlows_completion phlows
"""

ZSH: Final = r"""#compdef phlows
# zsh completion for phlows
# Save it as _phlows in a folder of $fpath, or: eval "$(phlows completion zsh)"

_phlows() {
    local kind value help found=1
    local -a described open
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            file) compset -P '-*='; _files && found=0 ;;
            dir) compset -P '-*='; _files -/ && found=0 ;;
            word)
                # A word that ends in : or = goes on: no space after it.
                if [[ $value == *[:=] ]]; then
                    open+=("${value//:/\\:}:$help")
                else
                    described+=("${value//:/\\:}:$help")
                fi ;;
        esac
    done < <(_PHLOWS_COMPLETE=zsh_complete _PHLOWS_LINE="${(j: :)words[1,CURRENT-1]} $PREFIX" \
        "$words[1]" 2>/dev/null)
    (( $#described )) && _describe -V phlows described && found=0
    (( $#open )) && _describe -V phlows open -S '' && found=0
    return found
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _phlows "$@"
else
    compdef _phlows phlows
fi
"""

FISH: Final = r"""# fish completion for phlows
# Save it as ~/.config/fish/completions/phlows.fish, or: phlows completion fish | source

function _phlows_completion
    set -l line (commandline -cp)
    for answer in (_PHLOWS_COMPLETE=fish_complete _PHLOWS_LINE="$line" phlows 2>/dev/null)
        set -l part (string split \t -- $answer)
        switch $part[1]
            case file dir
                set -l word (commandline -ct)
                set -l head (string match -r -- '^-[^=]*=' $word)
                for path in (__fish_complete_path (string replace -- "$head" '' $word))
                    echo "$head$path"
                end
            case word
                printf '%s\t%s\n' $part[2] $part[3]
        end
    end
end

complete --command phlows --no-files --arguments '(_phlows_completion)'
"""

SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH}
FILES: Final = {"bash": "phlows", "zsh": "_phlows", "fish": "phlows.fish"}


class _LineComplete(ShellComplete):
    """Completion of a line that the shell hands over as one string."""

    _typed = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the line into whole words and the one being typed."""
        line = os.environ.get("_PHLOWS_LINE", "")
        words = split_arg_string(line)
        if not words or (line[-1:].isspace() and not line.endswith("\\ ")):
            words.append("")
        self._typed = words[-1]
        return words[1:-1], words[-1]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Write one answer: its kind, its word and its help, tab-separated."""
        if item.type != "plain":
            return str(item.type)
        help_text = " ".join((item.help or "").split())
        return f"word\t{self._word(self._whole(item.value))}\t{help_text}"

    def _whole(self, value: str) -> str:
        """Put "--host=" back before a value that click completed alone."""
        name, equals, rest = self._typed.partition("=")
        if name.startswith("-") and equals and value.startswith(rest):
            return name + equals + value
        return value

    def _word(self, whole: str) -> str:
        return whole


@add_completion_class
class Fish(_LineComplete):
    """fish takes the whole word."""

    name = "fish"
    source_template = FISH


@add_completion_class
class Zsh(_LineComplete):
    """zsh takes the whole word."""

    name = "zsh"
    source_template = ZSH


@add_completion_class
class Bash(_LineComplete):
    """bash takes what follows the last : or = that it breaks words at."""

    name = "bash"
    source_template = BASH

    def _word(self, whole: str) -> str:
        breaks = set(os.environ.get("_PHLOWS_BREAKS", "")) & set(":=")
        cut = max((self._typed.rfind(mark) for mark in breaks), default=-1)
        return whole[cut + 1 :]
