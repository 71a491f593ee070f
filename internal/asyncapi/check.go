package asyncapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// CheckFrame reports where a server's frame is not what the document says,
// unknown fields included; the events inside are checked too.
func CheckFrame(raw []byte) error {
	var head struct {
		T string
		E []json.RawMessage
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	if err := find(serverFrames, head.T, raw); err != nil {
		return err
	}
	for _, e := range head.E {
		if err := CheckEvent(e); err != nil {
			return err
		}
	}
	return nil
}

// CheckEvent does the same for an envelope.
func CheckEvent(raw []byte) error {
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	if err := fit(e.Type, reflect.TypeFor[envelope](), raw); err != nil {
		return err
	}
	return find(events(), e.Type, e.Data)
}

func find(in []entry, name string, raw []byte) error {
	i := slices.IndexFunc(in, func(e entry) bool { return e.name == name })
	if i < 0 {
		return fmt.Errorf("%q is not in the document", name)
	}
	return fit(name, reflect.TypeOf(in[i].data), raw)
}

// fit holds an object to a struct: every field known, none missing.
func fit(at string, t reflect.Type, raw []byte) error {
	if string(raw) == "null" && t.Kind() == reflect.Pointer {
		return nil
	}
	switch {
	case t == rawJSON || t.Kind() == reflect.Interface:
		return nil
	case t.Kind() == reflect.Pointer:
		return fit(at, t.Elem(), raw)
	case t.Kind() == reflect.Slice:
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil || list == nil {
			return fmt.Errorf("%s is no list: %w", at, err)
		}
		for _, e := range list {
			if err := fit(at+"[]", t.Elem(), e); err != nil {
				return err
			}
		}
		return nil
	case t.Kind() != reflect.Struct:
		if err := json.Unmarshal(raw, reflect.New(t).Interface()); err != nil || string(raw) == "null" {
			return fmt.Errorf("%s is no %s: %w", at, t.Kind(), err)
		}
		return nil
	}
	var have map[string]json.RawMessage
	if err := json.Unmarshal(raw, &have); err != nil {
		return fmt.Errorf("%s is no object: %w", at, err)
	}
	var err error
	fields(t, func(name string, f reflect.StructField, optional bool) {
		v, ok := have[name]
		delete(have, name)
		switch {
		case err != nil:
		case ok:
			err = fit(at+"."+name, f.Type, v)
		case !optional:
			err = fmt.Errorf("%s.%s is missing", at, name)
		}
	})
	for name := range have {
		if err == nil {
			err = fmt.Errorf("%s.%s is not in the document", at, name)
		}
	}
	return err
}
