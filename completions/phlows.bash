# bash completion for phlows
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
