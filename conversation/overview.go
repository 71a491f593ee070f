package conversation

// OverviewFilter selects conversations for operators; zero values select all.
type OverviewFilter struct {
	// State is writing, waiting, idle or ended.
	State string
	Kind  Kind
	Owner LearnerID
	// Node selects what a node writes.
	Node string
	// Before is the last id of the page before.
	Before string
	Limit  int
}

// Overview is one conversation in a list for operators.
type Overview struct {
	ID    ID        `json:"id"`
	Kind  Kind      `json:"kind"`
	Owner LearnerID `json:"learner"`
	// State is writing (a node has the run), waiting (none has), idle or ended.
	State   string `json:"state"`
	Run     int64  `json:"run,omitempty"`
	Attempt int64  `json:"attempt,omitempty"`
	Node    string `json:"node,omitempty"`
	Fence   int64  `json:"fence"`
	Turns   int64  `json:"turns"`
	// Age is seconds since the open run, or else the conversation, last changed.
	Age float64 `json:"age_s"`
}
