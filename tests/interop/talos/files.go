package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/validation"
)

// verdict is what every check of a file comes to.
type verdict struct {
	OK       bool     `json:"ok"`
	Error    string   `json:"error"`
	Warnings []string `json:"warnings"`
}

func judge(warnings []string, err error) verdict {
	if err != nil {
		return verdict{Error: err.Error(), Warnings: warnings}
	}

	return verdict{OK: true, Warnings: warnings}
}

// metal is the runtime mode of a machine that Talos is installed on.
type metal struct{}

func (metal) String() string        { return "metal" }
func (metal) RequiresInstall() bool { return true }
func (metal) InContainer() bool     { return false }

func bundle(args []string) (any, error) {
	if len(args) != 1 {
		return nil, errors.New("bundle FILE")
	}

	loaded, err := secrets.LoadBundle(args[0])
	if err != nil {
		return judge(nil, err), nil
	}

	return judge(nil, loaded.Validate()), nil
}

func validate(args []string) (any, error) {
	return validateFiles(args, validation.WithStrict())
}

// accept is the check of a machine that is given a config: warnings do not refuse it.
func accept(args []string) (any, error) {
	return validateFiles(args)
}

func validateFiles(paths []string, options ...validation.Option) (any, error) {
	verdicts := map[string]verdict{}

	for _, path := range paths {
		verdicts[path] = validateFile(path, options...)
	}

	return verdicts, nil
}

func validateFile(path string, options ...validation.Option) (found verdict) {
	// Some mistakes, a null in the list of interfaces for one, end Talos' own check in a panic.
	defer func() {
		if reason := recover(); reason != nil {
			found = verdict{Error: fmt.Sprintf("panic: %v", reason)}
		}
	}()

	provider, err := configloader.NewFromFile(path)
	if err != nil {
		return judge(nil, err)
	}

	return judge(provider.Validate(metal{}, options...))
}

// inputs are those of Talos' generator.
type inputs struct {
	Bundle       string   `json:"bundle"`
	Contract     string   `json:"contract"`
	Name         string   `json:"name"`
	Endpoint     string   `json:"endpoint"`
	Kubernetes   string   `json:"kubernetes"`
	InstallDisk  string   `json:"install_disk"`
	InstallImage string   `json:"install_image"`
	SANs         []string `json:"sans"`
	DNSDomain    string   `json:"dns_domain"`
	Scheduling   bool     `json:"scheduling"`
}

func generateConfigs(_ []string) (any, error) {
	var in inputs

	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return nil, err
	}

	contract, err := config.ParseContractFromVersion(in.Contract)
	if err != nil {
		return nil, err
	}

	loaded, err := secrets.LoadBundle(in.Bundle)
	if err != nil {
		return nil, err
	}

	options := []generate.Option{
		generate.WithSecretsBundle(loaded),
		generate.WithVersionContract(contract),
		generate.WithInstallDisk(in.InstallDisk),
		generate.WithInstallImage(in.InstallImage),
		generate.WithAdditionalSubjectAltNames(in.SANs),
		generate.WithAllowSchedulingOnControlPlanes(in.Scheduling),
	}
	if in.DNSDomain != "" {
		options = append(options, generate.WithDNSDomain(in.DNSDomain))
	}

	input, err := generate.NewInput(in.Name, in.Endpoint, in.Kubernetes, options...)
	if err != nil {
		return nil, err
	}

	answer := map[string]string{}

	for name, kind := range map[string]machine.Type{"controlplane": machine.TypeControlPlane, "worker": machine.TypeWorker} {
		provider, err := input.Config(kind)
		if err != nil {
			return nil, err
		}

		text, err := provider.EncodeBytes(encoder.WithComments(encoder.CommentsDisabled))
		if err != nil {
			return nil, err
		}

		answer[name] = string(text)
	}

	access, err := input.Talosconfig()
	if err != nil {
		return nil, err
	}

	text, err := access.Bytes()
	if err != nil {
		return nil, err
	}

	answer["talosconfig"] = string(text)

	return answer, nil
}

// patched is a config after its patches.
type patched struct {
	verdict
	Config string `json:"config"`
}

// patch answers several questions at once: each is a config and the texts of its patches.
func patch(_ []string) (any, error) {
	var questions []struct {
		Config  string   `json:"config"`
		Patches []string `json:"patches"`
	}

	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		return nil, err
	}

	answers := make([]patched, 0, len(questions))
	for _, question := range questions {
		answers = append(answers, patchText(question.Config, question.Patches))
	}

	return answers, nil
}

func patchText(config string, texts []string) (answer patched) {
	// Some values, a date in a free-form part for one, end Talos' own code in a panic.
	defer func() {
		if reason := recover(); reason != nil {
			answer = patched{verdict: verdict{Error: fmt.Sprintf("panic: %v", reason)}}
		}
	}()

	patches := make([]configpatcher.Patch, 0, len(texts))

	for _, text := range texts {
		loaded, err := configpatcher.LoadPatch([]byte(text))
		if err != nil {
			return patched{verdict: judge(nil, err)}
		}

		patches = append(patches, loaded)
	}

	provider, err := configloader.NewFromBytes([]byte(config))
	if err != nil {
		return patched{verdict: judge(nil, err)}
	}

	output, err := configpatcher.Apply(configpatcher.WithConfig(provider), patches)
	if err != nil {
		return patched{verdict: judge(nil, err)}
	}

	result, err := output.Bytes()

	return patched{verdict: judge(nil, err), Config: string(result)}
}

func talosconfig(args []string) (any, error) {
	if len(args) != 1 {
		return nil, errors.New("talosconfig FILE")
	}

	loaded, err := clientconfig.Open(args[0])
	if err != nil {
		return judge(nil, err), nil
	}

	type context struct {
		Endpoints []string `json:"endpoints"`
		Nodes     []string `json:"nodes"`
		Usable    verdict  `json:"usable"`
	}

	contexts := map[string]context{}

	for name, found := range loaded.Contexts {
		// New parses the CA, the certificate and its key, and connects only when first used.
		_, err := client.New(backgroundContext(), client.WithConfigContext(found))
		contexts[name] = context{Endpoints: found.Endpoints, Nodes: found.Nodes, Usable: judge(nil, err)}
	}

	return map[string]any{"context": loaded.Context, "contexts": contexts}, nil
}
