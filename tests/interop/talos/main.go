// Command judge answers, as JSON on standard output, what Talos' own Go library makes of the files we write and of the
// machines we imitate. It exits 0 when it could answer, whatever the answer is.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

var commands = map[string]struct {
	usage string
	run   func(args []string) (any, error)
}{
	"accept":      {"accept FILE...: validate machine configs as a machine does that is given them", accept},
	"bundle":      {"bundle FILE: load a secrets bundle and validate it", bundle},
	"validate":    {"validate FILE...: validate machine configs strictly, in metal mode", validate},
	"generate":    {"generate: make configs from the inputs given as JSON on standard input", generateConfigs},
	"patch":       {"patch: apply patches, each question a config and its patches, given as JSON on standard input", patch},
	"schema":      {"schema: all documents and their fields, in order", schema},
	"kinds":       {"kinds TALOSCONFIG NODE: list every kind of resource that a machine serves, typed", kinds},
	"talosconfig": {"talosconfig FILE: load a client configuration", talosconfig},
	"talk":        {"talk TALOSCONFIG NODE: ask a machine for version, services, etcd members and its status", talk},
}

func main() {
	if len(os.Args) < 2 {
		usage()
	}

	command, known := commands[os.Args[1]]
	if !known {
		usage()
	}

	answer, err := command.run(os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}

	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)

	if err := encoder.Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func usage() {
	for _, command := range commands {
		fmt.Fprintln(os.Stderr, "judge", command.usage)
	}

	os.Exit(2)
}
