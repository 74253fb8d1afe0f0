# bash completion for every hubpipe tool: the tool itself says what it takes.
_hubpipe()
{
    local word=${COMP_WORDS[COMP_CWORD]}

    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W \
            "$("${COMP_WORDS[0]}" --list-options 2>/dev/null)" -- "$word")
        [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
    else
        compopt -o default
        COMPREPLY=()
    fi
}

complete -F _hubpipe hub-export tmpl-rewrite key-inject tmpl-deploy \
    registry-dump registry-edit registry-load registry-diff hub-failover hub-sim
