# Completion of provision for fish. For this shell:      provision completion fish | source
# For every shell:  provision completion fish > ~/.config/fish/completions/provision.fish
function __provision_complete
    set --local words (commandline -opc)
    set --local current (commandline -ct)
    set --erase words[1]
    provision _complete -- $words "$current" 2>/dev/null # quoted: a word that is still empty is told, too
end
complete --command provision --arguments '(__provision_complete)'
