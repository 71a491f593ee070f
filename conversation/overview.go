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

// Tree is how a conversation's runs hang together, for operators: numbers,
// ids and states, no text.
type Tree struct {
	// Head is the tip of the branch that is shown.
	Head Head `json:"head"`
	// Branches counts all tips.
	Branches int64 `json:"branches"`
	// Runs are the newest, newest first; More says that there are older ones.
	Runs []TreeRun `json:"runs"`
	More bool      `json:"more,omitempty"`
}

// TreeRun is a run and its place in the tree.
type TreeRun struct {
	Run int64 `json:"run"`
	// Parent is the learner's turn that the run answers and ParentID its
	// message id; 0 and "" for none.
	Parent   int64  `json:"parent"`
	ParentID string `json:"parent_id,omitempty"`
	// After is the run before Parent on the branch, 0 for none.
	After int64 `json:"after,omitempty"`
	// Attempt is 0 before a node has claimed the run.
	Attempt int64  `json:"attempt"`
	State   string `json:"state"`
	// Tip says that a branch ends here.
	Tip bool `json:"tip"`
}
