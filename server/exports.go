package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Transcripts reads finished messages; a foreign conversation reads as missing.
type Transcripts interface {
	// Turns are those of all branches after a number.
	Turns(ctx context.Context, learner conversation.LearnerID, id conversation.ID, after int64, limit int) ([]conversation.Turn, error)
	// Path numbers the turns of a branch in the order of the talk, by the run
	// at its tip; 0 is the branch that is shown.
	Path(ctx context.Context, learner conversation.LearnerID, id conversation.ID, run int64) ([]int64, error)
	// TurnsOf reads turns of a path.
	TurnsOf(ctx context.Context, learner conversation.LearnerID, id conversation.ID, ns []int64) ([]conversation.Turn, error)
}

const (
	// exportPage is how many rows are in memory at a time.
	exportPage = 100
	// exportWrite bounds the time in which a client takes one page.
	exportWrite = 30 * time.Second

	mediaNDJSON = "application/x-ndjson"
)

// exportRoutes mount what a learner takes home. These answers have no bound,
// so they are streamed: a row at a time as NDJSON, or one JSON array.
func (s *Server) exportRoutes(a *api) {
	if s.deps.Transcripts == nil {
		return
	}
	list := func(item *huma.Schema, rows ...any) map[string]*huma.Response {
		return map[string]*huma.Response{"200": rowsOf(item, rows...)}
	}
	turn := a.OpenAPI().Components.Schemas.Schema(turnReflect, true, "Turn")
	row := a.OpenAPI().Components.Schemas.Schema(exportReflect, true, "ExportRow")
	a.plain(route{ID: "export-transcript", Method: http.MethodGet, Path: "/conversations/{id}/transcript", Tag: tagConversations,
		Summary:     "The messages of a conversation (JSON or NDJSON, by Accept)",
		Description: "In the order of the talk: those of one branch, or with branch=all everything by number.",
		Fails:       []fault.Code{fault.NotFound, fault.Invalid, fault.StorageUnavailable}},
		list(turn, exampleTurns[0], exampleTurns[1]), []*huma.Param{idParam, branchParam}, s.signedIn(s.exportTranscript))
	a.plain(route{ID: "export-transcripts", Method: http.MethodGet, Path: "/transcripts", Tag: tagConversations,
		Summary:     "The messages of all your conversations (JSON or NDJSON, by Accept)",
		Description: "A row is a conversation, newest first, or a message of the conversation before it: of its branch that is shown, or with branch=all of all.",
		Fails:       []fault.Code{fault.Invalid, fault.StorageUnavailable}},
		list(row, exportRow{Conversation: &exampleConversation}, exportRow{Message: &exampleTurns[0]}), []*huma.Param{allBranchesParam}, s.signedIn(s.exportTranscripts))
}

// rowsOf is the answer of an export, with some rows as examples.
func rowsOf(item *huma.Schema, rows ...any) *huma.Response {
	return &huma.Response{Description: "Whole, or the connection is cut: an array that ends is complete.", Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{Type: "array", Items: item}, Example: rows},
		mediaNDJSON:        {Schema: item, Example: rows[0]},
	}}
}

// signedIn lets a plain handler run only with a good token.
func (s *Server) signedIn(h gin.HandlerFunc) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := s.authenticate(c.Request); err != nil {
			WriteProblem(c.Writer, c.Request, s.problem(c.Request.Context(), err).cause)
			return
		}
		h(c)
	}
}

// exportRow is one row of all transcripts: one of the two is there.
type exportRow struct {
	Conversation *conversationItem  `json:"conversation,omitempty"`
	Message      *conversation.Turn `json:"message,omitempty"`
}

func (s *Server) exportTranscript(c *gin.Context) {
	ctx := c.Request.Context()
	id, err := conversation.ParseID(c.Param("id"))
	if err != nil {
		WriteProblem(c.Writer, c.Request, err)
		return
	}
	b, err := branchOf(c.Query("branch"), true)
	if err != nil {
		WriteProblem(c.Writer, c.Request, err)
		return
	}
	x := newExport(c)
	s.finishExport(c, x, s.eachTurn(ctx, id, b, func(t *conversation.Turn) error { return x.add(t) }, x.flush))
}

func (s *Server) exportTranscripts(c *gin.Context) {
	ctx := c.Request.Context()
	b, err := branchOf(c.Query("branch"), false)
	if err != nil {
		WriteProblem(c.Writer, c.Request, err)
		return
	}
	x := newExport(c)
	s.finishExport(c, x, s.eachConversation(ctx, b, x))
}

func (s *Server) eachConversation(ctx context.Context, b branch, x *export) error {
	who := conversation.LearnerID(learnerOf(ctx))
	for before := ""; ; {
		page, next, err := s.deps.Conversations.List(ctx, who, conversation.KindChat, before, exportPage)
		if err != nil {
			return err
		}
		for _, h := range page {
			item := conversationItem{ID: string(h.ID), Title: h.Title, State: h.State, CreatedAt: h.CreatedAt, ScenarioID: scenarioOf(h.Meta)}
			if err := x.add(exportRow{Conversation: &item}); err != nil {
				return err
			}
			err := s.eachTurn(ctx, h.ID, b, func(t *conversation.Turn) error { return x.add(exportRow{Message: t}) }, x.flush)
			if err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		before = next
	}
}

// eachTurn reads a conversation page by page and flushes after each. Of a
// branch the numbers are in memory, 8 bytes a turn, and one page of texts.
func (s *Server) eachTurn(ctx context.Context, id conversation.ID, b branch, add func(*conversation.Turn) error, flush func() error) error {
	who, read := conversation.LearnerID(learnerOf(ctx)), s.deps.Transcripts
	next := func(after int64) ([]conversation.Turn, error) { return read.Turns(ctx, who, id, after, exportPage) }
	if !b.all {
		path, err := read.Path(ctx, who, id, b.run)
		if err != nil {
			return err
		}
		next = func(int64) ([]conversation.Turn, error) {
			page := path[:min(len(path), exportPage)]
			path = path[len(page):]
			if len(page) == 0 {
				return nil, nil
			}
			return read.TurnsOf(ctx, who, id, page)
		}
	}
	for after := int64(0); ; {
		page, err := next(after)
		if err != nil {
			return err
		}
		for i := range page {
			if err := add(&page[i]); err != nil {
				return err
			}
			after = page[i].N
		}
		if err := flush(); err != nil {
			return err
		}
		if len(page) < exportPage {
			return nil
		}
	}
}

// finishExport ends what was written. Once rows are out an error can only be
// told by cutting the connection: an array without its end, or a body without
// its last chunk, cannot be mistaken for the whole.
func (s *Server) finishExport(c *gin.Context, x *export, err error) {
	if err == nil {
		err = x.close()
	}
	if err == nil || c.Request.Context().Err() != nil && !x.begun {
		return
	}
	p := s.problem(c.Request.Context(), err) // it logs what is ours
	if x.begun {
		panic(http.ErrAbortHandler)
	}
	WriteProblem(c.Writer, c.Request, p.cause)
}

// export writes rows; the status goes out with the first flush.
type export struct {
	w     gin.ResponseWriter
	rc    *http.ResponseController
	lines bool
	begun bool
	rows  int
	buf   bytes.Buffer
	enc   *json.Encoder
}

func newExport(c *gin.Context) *export {
	x := &export{w: c.Writer, rc: http.NewResponseController(c.Writer), lines: strings.Contains(c.GetHeader("Accept"), mediaNDJSON)}
	x.enc = json.NewEncoder(&x.buf) // it ends each row with a line break
	x.enc.SetEscapeHTML(false)
	return x
}

func (x *export) add(row any) error {
	switch {
	case x.lines:
	case x.rows == 0:
		x.buf.WriteString("[\n")
	default:
		x.buf.WriteByte(',')
	}
	x.rows++
	return x.enc.Encode(row)
}

func (x *export) close() error {
	switch {
	case x.lines:
	case x.rows == 0:
		x.buf.WriteString("[]\n")
	default:
		x.buf.WriteString("]\n")
	}
	return x.send()
}

// flush sends what is there, if there is a row.
func (x *export) flush() error {
	if x.rows == 0 || x.buf.Len() == 0 {
		return nil
	}
	return x.send()
}

func (x *export) send() error {
	if !x.begun {
		x.begun = true
		h := x.w.Header()
		h.Add("Vary", "Accept")
		h.Set("Content-Type", "application/json")
		if x.lines {
			h.Set("Content-Type", mediaNDJSON)
		}
		x.w.WriteHeader(http.StatusOK)
	}
	_ = x.rc.SetWriteDeadline(time.Now().Add(exportWrite)) // test recorders have none
	_, err := x.w.Write(x.buf.Bytes())
	x.buf.Reset()
	if err == nil {
		err = x.rc.Flush()
	}
	_ = x.rc.SetWriteDeadline(time.Time{})
	return err
}
