package v1

import (
	"encoding/json"
	"errors"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// read takes a body apart. Fields that are not known are ignored, as they
// always were; a field of a wrong type is named.
func read[T any](r *Request) (T, error) {
	var v T
	if len(r.Body) == 0 {
		return v, nil // what is needed is asked for by its name
	}
	err := json.Unmarshal(r.Body, &v)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return v, nil
	case errors.As(err, &wrong):
		return v, invalid(wrong.Field, "wrong_type", "This has the wrong type.")
	default:
		return v, fault.Wrap(err, fault.BadRequest, "The body is not the JSON that is expected here.")
	}
}

func invalid(name, code, message string) error {
	return &fault.Error{Code: fault.Invalid, Message: "Some values are not allowed.",
		Fields: []fault.Field{{Name: name, Code: code, Message: message}}}
}

func required(name string) error { return invalid(name, "required", "This is needed.") }

// renamed is err with the names that v1 has for the fields, by the names that
// the use case has; names that are not in the map stay.
func renamed(err error, names map[string]string) error {
	f := fault.Of(err)
	if len(f.Fields) == 0 {
		return err
	}
	out := *f
	out.Fields = nil
	for _, field := range f.Fields {
		if n, ok := names[field.Name]; ok {
			field.Name = n
		}
		out.Fields = append(out.Fields, field)
	}
	return &out
}
