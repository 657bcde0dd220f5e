// Judges objects as Argo CD and Flux would: the health checks of argocd-cm in the Lua interpreter of Argo CD, kstatus
// and the expressions of a Kustomization by the libraries of Flux. Reads one JSON document and writes one.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type question struct {
	// The Lua of each kind.
	Argocd map[string]string `json:"argocd"`
	// spec.healthCheckExprs of a Kustomization.
	Flux []kustomize.CustomHealthCheck `json:"flux"`
	// Each as the API server shows it.
	Objects []json.RawMessage `json:"objects"`
}

type verdict struct {
	Argocd  health `json:"argocd"`
	Kstatus string `json:"kstatus"`
	// By the expressions of its kind; by kstatus where there are none.
	Flux string `json:"flux"`
}

func main() {
	if err := answer(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answer() error {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return err
	}
	expressions := map[string]*cel.StatusEvaluator{}
	for _, check := range asked.Flux {
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return fmt.Errorf("%s: %w", check.Kind, err)
		}
		expressions[check.Kind] = evaluator
	}
	verdicts := make([]verdict, 0, len(asked.Objects))
	for _, raw := range asked.Objects {
		// Numbers become int64 where they are whole, as in the controllers.
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(raw); err != nil {
			return err
		}
		found, err := judge(object, asked.Argocd[object.GetKind()], expressions[object.GetKind()])
		if err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		verdicts = append(verdicts, found)
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

func judge(object *unstructured.Unstructured, script string, expressions *cel.StatusEvaluator) (verdict, error) {
	argocd, err := healthByLua(object, script)
	if err != nil {
		return verdict{}, err
	}
	kstatus, err := status.Compute(object)
	if err != nil {
		return verdict{}, err
	}
	flux := kstatus
	if expressions != nil {
		if flux, err = expressions.Evaluate(context.Background(), object); err != nil {
			return verdict{}, err
		}
	}
	return verdict{Argocd: argocd, Kstatus: kstatus.Status.String(), Flux: flux.Status.String()}, nil
}
