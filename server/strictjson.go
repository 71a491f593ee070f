package server

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/strictjson"
)

// maxDepth bounds the nesting of a JSON body.
const maxDepth = 16

// strictBody reads the body of an unsafe method within its limits of size and
// time and lets only JSON pass that every reader understands alike. What comes
// behind reads it from memory.
func (s *Server) strictBody(c *gin.Context) {
	r := c.Request
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Body == nil {
		return
	}
	body, err := s.readBody(c.Writer, r, s.deps.MaxBody)
	if err == nil && len(body) > 0 {
		if err = checkMedia(r.Header); err == nil {
			err = checkJSON(body, maxDepth)
		}
	}
	if err != nil {
		c.Abort()
		s.refuse(c, err)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
}

func (s *Server) readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	tooLarge := fault.Newf(fault.TooLarge, "The body may have at most %d bytes.", most)
	if r.ContentLength > most {
		w.Header().Set("Connection", "close") // nobody reads the rest
		return nil, tooLarge
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(s.deps.BodyTimeout)) // not supported by test recorders
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	_ = rc.SetReadDeadline(time.Time{})
	var tooMany *http.MaxBytesError
	switch {
	case errors.As(err, &tooMany):
		w.Header().Set("Connection", "close")
		return nil, tooLarge
	case err != nil:
		w.Header().Set("Connection", "close")
		return nil, fault.Wrap(err, fault.BadRequest, "The body did not arrive whole.")
	}
	return body, nil
}

// checkMedia wants exactly one Content-Type, JSON in UTF-8, not compressed.
func checkMedia(h http.Header) error {
	bad := fault.New(fault.UnsupportedMedia, "Send one Content-Type, application/json in UTF-8, without Content-Encoding.")
	if len(h.Values("Content-Type")) != 1 {
		return bad
	}
	mt, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || mt != "application/json" {
		return bad
	}
	if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") {
		return bad
	}
	if ce := h.Get("Content-Encoding"); ce != "" && !strings.EqualFold(ce, "identity") {
		return bad
	}
	return nil
}

func badJSON(detail string) error { return fault.New(fault.BadRequest, detail) }

func checkJSON(body []byte, depth int) error { return strictjson.Check("body", body, depth) }
