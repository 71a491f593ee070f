package v1

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Interviews holds the talk of an interview; the engine does, as with every
// other conversation.
type Interviews interface {
	// Start begins a conversation with a first line of ours.
	Start(ctx context.Context, learner, opening string) (conversation string, err error)
	// Say sends a message and waits for its reply until ctx ends, which is
	// upstream_timeout. The same clientID again waits for the same reply. A
	// reply that failed for good is ErrNoReply.
	Say(ctx context.Context, learner, conversation, clientID, text string) (reply string, err error)
}

// ErrNoReply says that a reply was given up; the interview goes on without it.
var ErrNoReply = fault.New(fault.AttemptsExhausted, "The reply could not be written.")

// replyWait bounds the wait of a request for its reply. It is below the 30 s
// after which phones and proxies of that time gave up.
const replyWait = 25 * time.Second

// The steps of an interview as v1 counts them; the greeting and "are you
// ready" of the old one are one with the first question.
const (
	stepPartners = 3
	stepUnits    = 4
	stepSummary  = 5
)

// interviewState is what the client carries from turn to turn. It only names
// where it stands; what was said and chosen is ours.
type interviewState struct {
	ConversationID string `json:"conversation_id"`
	Turn           int    `json:"turn"`
	Question       string `json:"question"`
	CurrentStep    int    `json:"current_step"`
}

func stepOf(q onboarding.OpenQuestion) int {
	switch {
	case q.Key == "":
		return stepSummary
	case q.Partner == "":
		return stepPartners
	}
	return stepUnits
}

// QuestionText is a question in plain English, or the farewell when nothing is
// left to ask.
func QuestionText(q onboarding.OpenQuestion) string {
	switch {
	case q.Key == "":
		return "Thank you, that is all I wanted to know. Your practice will be made from it."
	case q.Partner == "":
		return "Whom do you speak English with at work?"
	}
	return "In which situations do you speak English with them: " + q.Partner + "?"
}

// numbered is a question with its options, which can be answered by number.
func numbered(q onboarding.OpenQuestion) string {
	var b strings.Builder
	b.WriteString(QuestionText(q))
	for n, o := range q.Options {
		b.WriteString("\n" + strconv.Itoa(n+1) + ". " + o)
	}
	if len(q.Options) > 0 {
		b.WriteString("\nAnswer with names or numbers, or in your own words, in any language.")
	}
	return b.String()
}

func (a *API) startConversation(ctx context.Context, r *Request) (Answer, error) {
	id := onboarding.LearnerID(r.Learner)
	q, err := a.onb.Question(ctx, id)
	if err != nil {
		return Answer{}, err
	}
	v, err := a.onb.View(ctx, id)
	if err != nil {
		return Answer{}, err
	}
	text := numbered(q)
	conversation, err := a.deps.Interviews.Start(ctx, r.Learner, text)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: object{
		"ai_response":        text,
		"conversation_state": interviewState{conversation, 1, q.Key, stepOf(q)},
		"user_context": object{
			"native_language": language(&v), "industry": v.Industry, "role": v.RoleTitle, "job_title": v.JobTitle,
		},
	}}, nil
}

func (a *API) continueConversation(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[struct {
		Message string         `json:"message"`
		State   interviewState `json:"conversation_state"`
	}](r)
	switch {
	case err != nil:
		return Answer{}, err
	case strings.TrimSpace(in.Message) == "":
		return Answer{}, required("message")
	case in.State.ConversationID == "":
		return Answer{}, required("conversation_state")
	}
	id := onboarding.LearnerID(r.Learner)
	// The answer is taken before the reply is written, because the reply asks
	// the next question. A repeat finds its question answered.
	q, err := a.onb.AnswerQuestion(ctx, id, in.State.Question, in.Message)
	if err != nil {
		return Answer{}, renamed(err, map[string]string{"partners": "message", "situations": "message"})
	}
	o, err := a.onb.Settle(ctx, id)
	if err != nil {
		return Answer{}, err
	}
	wait, cancel := context.WithTimeout(ctx, replyWait)
	defer cancel()
	reply, err := a.deps.Interviews.Say(wait, r.Learner, in.State.ConversationID, "v1-"+strconv.Itoa(in.State.Turn), in.Message)
	switch {
	case fault.CodeOf(err) == ErrNoReply.Code || err == nil && strings.TrimSpace(reply) == "":
		reply = numbered(q)
	case err != nil:
		return Answer{}, err
	}
	body := object{
		"ai_response":        reply,
		"conversation_state": interviewState{in.State.ConversationID, in.State.Turn + 1, q.Key, stepOf(q)},
		"is_finished":        q.Key == "", "current_step": stepOf(q),
	}
	if q.Key == "" {
		if body["conversation_summary"], err = a.interviewSummary(ctx, id, o); err != nil {
			return Answer{}, err
		}
	}
	return Answer{Body: body}, nil
}

// interviewSummary is read from the profile, so it says what is stored.
func (a *API) interviewSummary(ctx context.Context, id onboarding.LearnerID, o onboarding.Overview) (object, error) {
	v, err := a.onb.View(ctx, id)
	if err != nil {
		return nil, err
	}
	situations := object{}
	list := []string{}
	for _, p := range v.Partners {
		units := []string{}
		for _, s := range p.Situations {
			units = append(units, s.Name)
		}
		list = append(list, p.Name)
		situations[p.Name] = units
	}
	return object{"communication_partners": list, "partner_situations": situations, "onboarding_complete": o.Complete}, nil
}
