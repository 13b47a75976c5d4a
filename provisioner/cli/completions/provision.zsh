#compdef provision
# Completion of provision for zsh. For this shell:       source <(provision completion zsh)
# For every shell, in a folder of $fpath:  provision completion zsh > "${fpath[1]}/_provision"
_provision() {
    local line
    local -a found
    while IFS= read -r line; do
        found+=(${${line%%$'\t'*}//:/\\:}:${line#*$'\t'})
    done < <(provision _complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( $#found )); then
        _describe provision found
    else
        _files
    fi
}
if [ "${funcstack[1]}" = "_provision" ]; then
    _provision "$@"
else
    compdef _provision provision
fi
