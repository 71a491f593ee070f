// Package fault holds the one error shape that every room of the house uses
// for failures a caller can act on: a kind, a stable code and a text that is
// safe to show. Exactly one table, Codes, maps a code to its HTTP status, its
// WebSocket close code and its retry advice; docs/protocol.md mirrors it.
package fault

import (
	"errors"
	"fmt"
)

// Error is a failure with a stable Code. Message is safe for a client: it
// never holds SQL, upstream text, learner text or a path. Err is the cause,
// for logs and errors.Is only.
type Error struct {
	Code    Code
	Message string
	// Fields lists every invalid field at once, for Code Invalid.
	Fields []Field
	// RetryAfterMS advises when a retry may succeed; 0 gives no advice.
	RetryAfterMS int64
	Err          error
}

// Field is one invalid input field: Name is the JSON path ("partners[0]"),
// Code is stable ("required", "too_long", "unknown"), Message is for people.
type Field struct {
	Name    string `json:"field"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error implements error; it includes the cause, so it is for logs only.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports equality by code, so errors.Is(err, fault.New(code, "")) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// New returns an Error with a code and a message that is safe to show.
func New(code Code, message string) *Error { return &Error{Code: code, Message: message} }

// Newf is New with formatting; arguments must be safe to show.
func Newf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap attaches a cause that stays inside.
func Wrap(err error, code Code, message string) *Error {
	return &Error{Code: code, Message: message, Err: err}
}

// Of returns the Error inside err, or an Internal one that hides err's text.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: Internal, Message: "Something went wrong on our side.", Err: err}
}

// CodeOf returns the code of err, Internal when it carries none, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return Of(err).Code
}
