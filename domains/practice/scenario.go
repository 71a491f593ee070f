// Package practice knows what good practice is: what a scenario must hold,
// what the model is asked for, and what of it a learner may see. It meets
// conversations only through ports; cmd wires them.
package practice

// Scenario is what the model writes. The order of the fields is the order in
// which they are written and appear to the learner.
type Scenario struct {
	Title      string      `json:"title"`
	Summary    string      `json:"summary"`
	Brief      string      `json:"brief"`
	Objectives []Objective `json:"objectives"`
	Outcome    string      `json:"outcome"`
	Channel    string      `json:"channel"`
	Register   string      `json:"register"`
	Learner    Role        `json:"learner"`
	Phrases    []Phrase    `json:"phrases"`
	Words      []Word      `json:"words"`
	Opening    Opening     `json:"opening"`
	// Partner stands last because it holds what the learner must not see:
	// what is shown while a scenario is being written ends before it.
	Partner Partner `json:"partner"`
}

// Objective is one thing to reach; Evidence says what a judge must see.
type Objective struct {
	ID       string `json:"id"`
	Kind     string `json:"kind" enum:"task,interaction,register,language"`
	Text     string `json:"text"`
	Evidence string `json:"evidence"`
	Required bool   `json:"required"`
	Weight   int    `json:"weight"`
}

// Role is who the learner is here and what they know.
type Role struct {
	Title string `json:"title"`
	Facts []Fact `json:"facts"`
}

// Fact is one piece of knowledge.
type Fact struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// HiddenFact is what only the partner knows until it is revealed.
type HiddenFact struct {
	ID         string `json:"id"`
	Text       string `json:"text"`
	RevealWhen string `json:"reveal_when"`
}

// Partner is the whole partner card, the hidden part included.
type Partner struct {
	Name        string       `json:"name"`
	Title       string       `json:"title"`
	Voice       []string     `json:"voice"`
	Goal        string       `json:"goal"`
	Constraints []string     `json:"constraints"`
	HiddenFacts []HiddenFact `json:"hidden_facts"`
}

// Phrase is a target phrase with what it is for.
type Phrase struct {
	Text     string `json:"text"`
	Function string `json:"function"`
	Note     string `json:"note"`
}

// Word is a target word.
type Word struct {
	Lemma        string `json:"lemma"`
	PartOfSpeech string `json:"part_of_speech"`
	Meaning      string `json:"meaning"`
	Example      string `json:"example"`
}

// Opening is the first line and who says it.
type Opening struct {
	Speaker string `json:"speaker" enum:"partner,learner"`
	Line    string `json:"line"`
}

// Document is a stored scenario: what the model wrote and where it belongs.
type Document struct {
	ID    string `json:"id"`
	Owner string `json:"-"`
	// RequestID names the request that made it; one request, one scenario.
	RequestID   string   `json:"-"`
	Level       string   `json:"level"`
	Industry    string   `json:"industry"`
	JobRole     string   `json:"job_role"`
	PartnerType string   `json:"partner_type"`
	Situation   string   `json:"situation"`
	Scenario    Scenario `json:"scenario"`
	// PromptVersion says which text of the prompt asked for it.
	PromptVersion string `json:"prompt_version"`
	// CreatedAt is microseconds since 1970.
	CreatedAt int64 `json:"created_at"`
}

// PublicPartner is what the learner may know about the partner.
type PublicPartner struct {
	Name  string   `json:"name"`
	Title string   `json:"title"`
	Voice []string `json:"voice"`
}

// View is a scenario as clients see it: without the partner's goal,
// constraints and hidden facts. It is built field by field, so a new hidden
// field stays hidden until somebody shows it.
type View struct {
	ID          string `json:"id"`
	Level       string `json:"level" enum:"A1,A2,B1,B2,C1,C2"`
	Industry    string `json:"industry"`
	JobRole     string `json:"job_role"`
	PartnerType string `json:"partner_type"`
	Situation   string `json:"situation"`
	// CreatedAt is milliseconds since 1970.
	CreatedAt  int64         `json:"created_at" doc:"Milliseconds since 1970"`
	Title      string        `json:"title"`
	Summary    string        `json:"summary"`
	Brief      string        `json:"brief"`
	Objectives []Objective   `json:"objectives"`
	Outcome    string        `json:"outcome"`
	Channel    string        `json:"channel" enum:"chat,email_thread,meeting_chat,ticket,phone_like"`
	Register   string        `json:"register" enum:"casual,neutral,formal"`
	Learner    Role          `json:"learner"`
	Partner    PublicPartner `json:"partner"`
	Phrases    []Phrase      `json:"phrases"`
	Words      []Word        `json:"words"`
	Opening    Opening       `json:"opening"`
}

// View is d without its hidden parts.
func (d Document) View() View {
	s := d.Scenario
	return View{
		ID: d.ID, Level: d.Level, Industry: d.Industry, JobRole: d.JobRole, PartnerType: d.PartnerType,
		Situation: d.Situation, CreatedAt: d.CreatedAt / 1000,
		Title: s.Title, Summary: s.Summary, Brief: s.Brief, Objectives: s.Objectives, Outcome: s.Outcome,
		Channel: s.Channel, Register: s.Register, Learner: s.Learner,
		Partner: PublicPartner{Name: s.Partner.Name, Title: s.Partner.Title, Voice: s.Partner.Voice},
		Phrases: s.Phrases, Words: s.Words, Opening: s.Opening,
	}
}
