package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// report is the part of the inspector's answer that the tests read.
type report struct {
	ID    string
	State string
	Next  string
	Node  string
	SQL   *struct {
		Fence    int64
		LogEpoch string `json:"log_epoch"`
		Run      *struct {
			Run, Attempt, Fence int64
			Node                string
		}
	}
	Log *struct {
		Epoch, Cursor string
		Fence         int64
		First         int64 `json:"first_seq"`
		Last          int64 `json:"last_seq"`
		OpenRun       int64 `json:"open_run"`
		TextLen       int64 `json:"text_len"`
	}
	Lock *struct {
		Node string
		Run  int64
		Age  float64 `json:"age_s"`
		TTL  float64 `json:"ttl_s"`
	}
	Owner *struct {
		ID, State string
		Alive     bool
		BeatAge   float64 `json:"heartbeat_age_s"`
	}
	Viewers []struct {
		Connection, Node, Transport, Cursor, Acked string
		NodeAlive                           bool  `json:"node_alive"`
		Lag                                 int64 `json:"lag_events"`
	}
	Anomalies []struct{ Name, Detail string }
	Unknown   []struct{ Source, Error string }
}

func (r *report) unknown(source string) bool {
	for _, u := range r.Unknown {
		if u.Source == source {
			return true
		}
	}
	return false
}

func (r *report) anomaly(name string) bool {
	for _, a := range r.Anomalies {
		if a.Name == name {
			return true
		}
	}
	return false
}

// inspect asks a node's inspector about a conversation.
func inspect(web *http.Client, p *process, conversation string) (*report, error) {
	var r report
	if p.gone() {
		return &r, errors.New(p.name + " is gone")
	}
	return &r, opsGet(web, p, "/ops/v1/state/"+conversation, &r)
}

// opsGet reads JSON from the operators' listener; it must answer quickly,
// whatever else does not.
func opsGet(web *http.Client, p *process, path string, out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.ops+path, nil)
	if err != nil {
		return err
	}
	res, err := web.Do(req)
	if err != nil {
		return err
	}
	defer drainBody(res)
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("inspector of %s answers %d", p.name, res.StatusCode)
	}
	return json.NewDecoder(res.Body).Decode(out)
}
