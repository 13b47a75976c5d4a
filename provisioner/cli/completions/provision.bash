# Completion of provision for bash. For this shell:      source <(provision completion bash)
# For every shell:  provision completion bash > ~/.local/share/bash-completion/completions/provision
_provision() {
    local IFS=$'\n'
    COMPREPLY=($(provision _complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -o default -F _provision provision
