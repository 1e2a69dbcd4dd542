// A traffic router for Argo Rollouts over the Gateway API: it sets the weights of the two backends of one HTTPRoute.
//
// It stands in for Argo's official Gateway API plug-in, whose module the Go module proxy does not give: the weights reach the gateway by the same
// change of the same fields. It is written from Argo's public plug-in interface, and knows one kind of route and no more. When to change a weight,
// and everything about the analysis, is Argo's own.
//
// A Rollout names its route so:
//
//	trafficRouting: {plugins: {fairway/httproute: {namespace: models, httpRoute: income}}}
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/rollout/trafficrouting/plugin/rpc"
	"github.com/argoproj/argo-rollouts/utils/plugin/types"
	"github.com/hashicorp/go-plugin"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubetypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

const name = "fairway/httproute"

var routes = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}

// router answers what the controller asks; what it does not need to do succeeds.
type router struct{ client dynamic.Interface }

type configuration struct {
	Namespace string `json:"namespace"`
	HTTPRoute string `json:"httpRoute"`
}

// route is as much of an HTTPRoute as is read.
type route struct {
	Spec struct {
		Rules []struct {
			BackendRefs []struct {
				Name   string `json:"name"`
				Weight *int32 `json:"weight"`
			} `json:"backendRefs"`
		} `json:"rules"`
	} `json:"spec"`
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func (r *router) InitPlugin() types.RpcError {
	config, err := rest.InClusterConfig()
	if err == nil {
		r.client, err = dynamic.NewForConfig(config)
	}
	return told(err)
}

func (r *router) SetWeight(rollout *v1alpha1.Rollout, weight int32, _ []v1alpha1.WeightDestination) types.RpcError {
	return told(r.setWeight(rollout.Spec.Strategy.Canary, weight))
}

func (r *router) setWeight(canary *v1alpha1.CanaryStrategy, weight int32) error {
	var wanted configuration
	if err := json.Unmarshal(canary.TrafficRouting.Plugins[name], &wanted); err != nil {
		return fmt.Errorf("the configuration of %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client := r.client.Resource(routes).Namespace(wanted.Namespace)
	object, err := client.Get(ctx, wanted.HTTPRoute, metav1.GetOptions{})
	if err != nil {
		return err
	}
	content, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	operations, err := changes(content, map[string]int32{canary.CanaryService: weight, canary.StableService: 100 - weight})
	if err != nil || len(operations) == 0 {
		return err
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, wanted.HTTPRoute, kubetypes.JSONPatchType, patch, metav1.PatchOptions{FieldManager: "httproute-weights"})
	return err
}

// changes gives the operations that bring the backends to their weights: none where they have them. An operation applies only where the backend
// still stands at the place where it was read.
func changes(content []byte, weights map[string]int32) ([]operation, error) {
	var read route
	if err := json.Unmarshal(content, &read); err != nil {
		return nil, err
	}
	operations, found := []operation{}, map[string]bool{}
	for i, rule := range read.Spec.Rules {
		for j, backend := range rule.BackendRefs {
			weight, ours := weights[backend.Name]
			found[backend.Name] = true
			if !ours || backend.Weight != nil && *backend.Weight == weight {
				continue
			}
			at := fmt.Sprintf("/spec/rules/%d/backendRefs/%d/", i, j)
			operations = append(operations, operation{"test", at + "name", backend.Name}, operation{"add", at + "weight", weight})
		}
	}
	for service := range weights {
		if !found[service] {
			return nil, fmt.Errorf("the HTTPRoute has no backend %q", service)
		}
	}
	return operations, nil
}

// VerifyWeight cannot look into the gateway; as the official plug-in's, it says that the weight is in effect.
func (r *router) VerifyWeight(*v1alpha1.Rollout, int32, []v1alpha1.WeightDestination) (types.RpcVerified, types.RpcError) {
	return types.Verified, types.RpcError{}
}

func (r *router) UpdateHash(*v1alpha1.Rollout, string, string, []v1alpha1.WeightDestination) types.RpcError {
	return types.RpcError{}
}

func (r *router) SetHeaderRoute(*v1alpha1.Rollout, *v1alpha1.SetHeaderRoute) types.RpcError {
	return types.RpcError{}
}

func (r *router) SetMirrorRoute(*v1alpha1.Rollout, *v1alpha1.SetMirrorRoute) types.RpcError {
	return types.RpcError{}
}

func (r *router) RemoveManagedRoutes(*v1alpha1.Rollout) types.RpcError { return types.RpcError{} }

func (r *router) Type() string { return name }

func told(err error) types.RpcError {
	if err == nil {
		return types.RpcError{}
	}
	return types.RpcError{ErrorString: err.Error()}
}

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "ARGO_ROLLOUTS_RPC_PLUGIN", MagicCookieValue: "trafficrouter"},
		Plugins:         map[string]plugin.Plugin{"RpcTrafficRouterPlugin": &rpc.RpcTrafficRouterPlugin{Impl: &router{}}},
	})
}
