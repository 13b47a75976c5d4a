# Completion of provision for fish. For this shell:      provision completion fish | source
# For every shell:  provision completion fish > ~/.config/fish/completions/provision.fish
complete --command provision --arguments '(provision _complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
