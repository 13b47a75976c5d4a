package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/protobuf"
	"github.com/cosi-project/runtime/pkg/state"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/block"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/config"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/cri"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/etcd"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/files"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/kubeaccess"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/kubespan"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/network"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/perf"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/siderolink"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/time"
	_ "github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"
)

// answerTime is how long one machine has for all questions together.
const answerTime = 30 * time.Second

func backgroundContext() context.Context { return context.Background() }

func talk(args []string) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("talk TALOSCONFIG NODE")
	}

	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()

	talos, err := client.New(ctx, client.WithConfigFromFile(args[0]))
	if err != nil {
		return nil, err
	}
	defer talos.Close() //nolint:errcheck

	answer := map[string]any{}
	nodes := client.WithNodes(ctx, args[1])

	version, err := talos.Version(nodes)
	if err != nil {
		return nil, fmt.Errorf("version: %w", err)
	}

	versions := []string{}
	for _, message := range version.GetMessages() {
		versions = append(versions, message.GetVersion().GetTag())
	}

	answer["version"] = versions

	list, err := talos.ServiceList(nodes)
	if err != nil {
		return nil, fmt.Errorf("services: %w", err)
	}

	services := map[string]string{}

	for _, message := range list.GetMessages() {
		for _, service := range message.GetServices() {
			services[service.GetId()] = service.GetState()
		}
	}

	answer["services"] = services

	// A worker has no members to tell of: what it says instead is part of the answer.
	names := []string{}

	members, err := talos.EtcdMemberList(nodes, &machineapi.EtcdMemberListRequest{})
	if err != nil {
		answer["etcd_error"] = err.Error()
	}

	for _, message := range members.GetMessages() {
		for _, member := range message.GetMembers() {
			names = append(names, member.GetHostname())
		}
	}

	answer["etcd_members"] = names

	status, err := watchStatus(client.WithNode(ctx, args[1]), talos)
	if err != nil {
		return nil, fmt.Errorf("machine status: %w", err)
	}

	answer["machine_status"] = status

	return answer, nil
}

// watchStatus returns the first machine status that a watch brings.
func watchStatus(ctx context.Context, talos *client.Client) (any, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	events := make(chan state.Event)
	pointer := runtime.NewMachineStatus().Metadata()

	if err := talos.COSI.Watch(ctx, pointer, events); err != nil {
		return nil, err
	}

	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case event := <-events:
			if event.Type == state.Errored {
				return nil, event.Error
			}

			found, is := event.Resource.(*runtime.MachineStatus)
			if !is {
				continue
			}

			unmet := []string{}
			for _, condition := range found.TypedSpec().Status.UnmetConditions {
				unmet = append(unmet, condition.Name)
			}

			return map[string]any{
				"event": event.Type.String(),
				"stage": found.TypedSpec().Stage.String(),
				"ready": found.TypedSpec().Status.Ready,
				"unmet": unmet,
			}, nil
		}
	}
}

// kinds lists every kind that a machine has a definition of, into the Go type that Talos' own clients use.
//
// A kind's answer is how many resources there are, or the error; `typed` is false where they came without a Go type.
func kinds(args []string) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("kinds TALOSCONFIG NODE")
	}

	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()

	talos, err := client.New(ctx, client.WithConfigFromFile(args[0]))
	if err != nil {
		return nil, err
	}
	defer talos.Close() //nolint:errcheck

	node := client.WithNode(ctx, args[1])

	definitions, err := talos.COSI.List(node, resource.NewMetadata(meta.NamespaceName, meta.ResourceDefinitionType, "", resource.VersionUndefined))
	if err != nil {
		return nil, fmt.Errorf("definitions: %w", err)
	}

	type kind struct {
		Count int    `json:"count"`
		Typed bool   `json:"typed"`
		Error string `json:"error"`
	}

	answer := map[string]kind{}

	for _, item := range definitions.Items {
		definition, is := item.(*meta.ResourceDefinition)
		if !is {
			return nil, fmt.Errorf("a definition came as %T", item)
		}

		spec := definition.TypedSpec()
		found := kind{Typed: true}

		list, err := talos.COSI.List(node, resource.NewMetadata(spec.DefaultNamespace, spec.Type, "", resource.VersionUndefined))
		if err != nil {
			found.Error = err.Error()
		}

		for _, one := range list.Items {
			if _, opaque := one.(*protobuf.Resource); opaque {
				found.Typed = false
			}
		}

		found.Count = len(list.Items)
		answer[spec.Type] = found
	}

	return answer, nil
}
