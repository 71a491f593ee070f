package practice

// RequestInput asks for a scenario. Empty Partner and Situation let practice
// choose among the learner's own, another each time.
type RequestInput struct {
	Partner   string
	Situation string
	// ClientID makes the request safe to repeat; empty makes a new one.
	ClientID string
}

// Started is a conversation that was begun from a scenario.
type Started struct {
	ID    string `json:"id"`
	Title string `json:"title"`
}
