package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
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
