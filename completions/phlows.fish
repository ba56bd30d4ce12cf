# fish completion for phlows
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
