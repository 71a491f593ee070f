package server

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
)

// Foreign chat clients (AI SDK, AG-UI) send their whole list of messages with
// every request. Ours is the truth, so only the last message of the user is
// read, and its id is the client id: a request that is repeated finds the same
// reply.

// A foreign client's request grows with the talk, and its parts may be anything.
const (
	maxForeignBody = 4 << 20
	foreignDepth   = 100
)

// replayEnded is how long a reply that has ended is told to one who resumes:
// it may have ended between the loading of a page and its question.
const replayEnded = time.Minute

// foreignMessage is what is read of a foreign message.
type foreignMessage struct {
	ID    string `json:"id"`
	Role  string `json:"role"`
	Parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	} `json:"parts"`
	// Content is text in old clients, a list of typed parts in AG-UI.
	Content json.RawMessage `json:"content"`
}

// text joins the text parts; files and whatever else there is are ignored.
func (m *foreignMessage) text() string {
	var texts []string
	for _, p := range m.Parts {
		if p.Type == "text" {
			texts = append(texts, p.Text)
		}
	}
	if len(texts) > 0 {
		return strings.Join(texts, "\n")
	}
	var s string
	if json.Unmarshal(m.Content, &s) == nil {
		return s
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(m.Content, &parts) == nil {
		for _, p := range parts {
			if p.Type == "text" {
				texts = append(texts, p.Text)
			}
		}
	}
	return strings.Join(texts, "\n")
}

// lastUser finds the last message of the user; at is -1 without one.
func lastUser(list []json.RawMessage) (m foreignMessage, at int, err error) {
	for i := len(list) - 1; i >= 0; i-- {
		var got foreignMessage
		if err := json.Unmarshal(list[i], &got); err != nil {
			return m, -1, fault.New(fault.BadRequest, "A message is not what is expected here.")
		}
		if got.Role == "user" {
			return got, i, nil
		}
	}
	return m, -1, nil
}

// foreignKey makes a foreign id one of ours. Without an id the same text at the
// same place of the talk is the same message.
func foreignKey(m *foreignMessage, at int) string {
	ok := m.ID != "" && len(m.ID) <= 64
	for i := 0; ok && i < len(m.ID); i++ {
		c := m.ID[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._:-", c) >= 0
	}
	if ok {
		return m.ID
	}
	basis := "id\x00" + m.ID
	if m.ID == "" {
		basis = "at\x00" + strconv.Itoa(at) + "\x00" + m.text()
	}
	sum := sha256.Sum256([]byte(basis))
	return "h:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// foreignBody reads a request of a foreign client into v, once it is known
// who asks: nobody else may make us read megabytes.
func (s *Server) foreignBody(c *gin.Context, v any) error {
	if err := s.authenticate(c.Request); err != nil {
		return err
	}
	body, err := s.readBody(c.Writer, c.Request, maxForeignBody)
	if err != nil {
		return err
	}
	if err := checkMedia(c.Request.Header); err != nil {
		return err
	}
	if err := checkJSON(body, foreignDepth); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return badJSON("The body is not what is expected here.")
	}
	return nil
}

// refusal is an error as foreign clients show it: they take the whole body for
// the error's message, so it is short.
type refusal struct {
	Code      fault.Code    `json:"code"`
	Message   string        `json:"message"`
	Retryable bool          `json:"retryable"`
	RequestID string        `json:"request_id"`
	Errors    []fault.Field `json:"errors,omitempty"`
}

// refuseForeign answers what cannot begin.
func (s *Server) refuseForeign(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problem(r.Context(), err).Problem
	for k, v := range p.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(refusal{p.Code, p.Detail, p.Retryable, p.RequestID, p.Errors}) // the client may be gone
}

// unsupported refuses what the conversation does not know.
func unsupported(field, why string) error {
	return &fault.Error{Code: fault.Invalid, Message: why, Fields: []fault.Field{{Name: field, Code: "not_supported", Message: "is not supported"}}}
}

// checkForeignOrigin is checkOrigin in the words of a foreign client.
func (s *Server) checkForeignOrigin(c *gin.Context) {
	if err := s.origins.check(c.Request, false); err != nil {
		c.Abort()
		s.refuseForeign(c.Writer, c.Request, err)
	}
}

// Replies streams one reply in another protocol; sessions.Manager does.
type Replies func(w http.ResponseWriter, r *http.Request, q sessions.ReplyRequest)
