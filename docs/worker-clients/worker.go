// A whole worker that is heard while it works, with nothing but Go's own packages. Put your own work in the place of work.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

type task struct {
	Lease            string          `json:"lease"`
	Payload          json.RawMessage `json:"payload"`
	HeartbeatSeconds int             `json:"heartbeat_seconds"`
}

// What is handed in.
type done struct {
	Lease  string         `json:"lease"`
	Result any            `json:"result,omitempty"`
	Error  map[string]any `json:"error,omitempty"`
}

func work(ctx context.Context, payload json.RawMessage) (any, error) {
	var asked struct {
		Seconds float64
		Fail    *string
		Answer  any
	}
	if err := json.Unmarshal(payload, &asked); err != nil {
		return nil, err
	}
	select {
	case <-time.After(time.Duration(asked.Seconds * float64(time.Second))):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if asked.Fail != nil {
		return nil, errors.New(*asked.Fail)
	}
	return asked.Answer, nil
}

var (
	client   = http.Client{Timeout: 90 * time.Second}
	errOver  = errors.New("the lease is over")
	refusals = map[int]bool{400: true, 413: true, 422: true}
)

// say posts a message. The status is 0 where nothing was answered that can be read.
func say(path, lease string, said, answer any) (status int, pause time.Duration) {
	token, err := os.ReadFile(os.Getenv("TASK_TOKEN_FILE"))
	if err != nil {
		return 0, time.Second
	}
	body, err := json.Marshal(said)
	if err != nil {
		panic(err)
	}
	request, err := http.NewRequest("POST", os.Getenv("TASK_API_URL")+"/worker/v1/"+path, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Task-Process", strconv.Itoa(os.Getpid()))
	if lease != "" {
		request.Header.Set("Task-Lease", lease)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, time.Second
	}
	defer response.Body.Close()
	if response.StatusCode == 200 && json.NewDecoder(response.Body).Decode(answer) != nil {
		return 0, time.Second
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	return response.StatusCode, time.Duration(max(seconds, 1)) * time.Second
}

// beat is heard until the work is over, and ends it when the operator says so.
func beat(ctx context.Context, end context.CancelCauseFunc, task *task) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(task.HeartbeatSeconds) * time.Second):
		}
		var told struct{ Cancel *struct{ Reason string } }
		if status, _ := say("progress", task.Lease, struct{}{}, &told); status == 409 {
			end(errOver)
		} else if told.Cancel != nil {
			end(errors.New(told.Cancel.Reason))
		}
	}
}

// run does one task. Nothing is handed in of a lease that is over.
func run(task *task) *done {
	ctx, end := context.WithCancelCause(context.Background())
	defer end(nil)
	go beat(ctx, end, task)
	result, err := work(ctx, task.Payload)
	switch {
	case errors.Is(err, errOver):
		return nil
	case err != nil:
		return &done{Lease: task.Lease, Error: map[string]any{"type": "WorkFailed", "message": err.Error()}}
	}
	return &done{Lease: task.Lease, Result: result}
}

func main() {
	var kept *done
	for {
		var answer struct {
			Kept *bool
			Task *task
			Stop bool
		}
		status, pause := say("next", "", map[string]any{"done": kept, "beats": true}, &answer)
		if status != 200 || kept != nil && answer.Kept == nil {
			if kept != nil && refusals[status] {
				kept = &done{Lease: kept.Lease, Error: map[string]any{"type": "ResultRefused"}}
			}
			time.Sleep(pause)
			continue
		}
		if answer.Stop {
			return
		}
		kept = nil
		if answer.Task != nil {
			kept = run(answer.Task)
		}
	}
}
