package asyncapi

import (
	"encoding/json"
	"reflect"
	"strings"
)

type object = map[string]any

var rawJSON = reflect.TypeFor[json.RawMessage]()

// schema is t as JSON Schema; constant fixes the field t of a frame or type of
// an event.
func schema(t reflect.Type) object {
	if t == rawJSON {
		return object{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return object{"oneOf": []any{schema(t.Elem()), object{"type": "null"}}}
	case reflect.Struct:
		props, required := object{}, []string{}
		fields(t, func(name string, f reflect.StructField, optional bool) {
			p := schema(f.Type)
			if doc := f.Tag.Get("doc"); doc != "" {
				p["description"] = doc
			}
			if enum := f.Tag.Get("enum"); enum != "" {
				p["enum"] = strings.Split(enum, ",")
			}
			props[name] = p
			if !optional {
				required = append(required, name)
			}
		})
		out := object{"type": "object", "properties": props}
		if len(required) > 0 {
			out["required"] = required
		}
		return out
	case reflect.Slice:
		return object{"type": "array", "items": schema(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Interface:
		return object{}
	default:
		return object{"type": "integer"}
	}
}

// fields walks the JSON fields of a struct, embedded ones in their place.
func fields(t reflect.Type, each func(name string, f reflect.StructField, optional bool)) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			fields(f.Type, each)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		each(name, f, strings.Contains(options, "omitempty"))
	}
}

func constant(s object, field, value string) object {
	s["properties"].(object)[field] = object{"type": "string", "const": value}
	return s
}

// eventSchema is the envelope with one type and its data.
func eventSchema(typ string, data any) object {
	s := constant(schema(reflect.TypeFor[envelope]()), "type", typ)
	s["properties"].(object)["v"] = object{"type": "integer", "const": 1}
	s["properties"].(object)["data"] = schema(reflect.TypeOf(data))
	return s
}

// controlSchema is a control message of an event stream.
func controlSchema(typ string, body any) object {
	s := schema(reflect.TypeOf(body))
	p := s["properties"].(object)
	p["v"] = object{"type": "integer", "const": 1}
	p["type"] = object{"type": "string", "const": typ}
	s["required"] = append([]string{"v", "type"}, s["required"].([]string)...)
	return s
}

// events lists the types of the log with their prefixes.
func events() []entry {
	out := append([]entry{}, otherEvents...)
	for _, prefix := range []string{"partner", "scenario"} {
		for _, e := range runEvents {
			out = append(out, entry{prefix + "." + e.name, e.doc, e.data})
		}
	}
	return out
}

// Document is the AsyncAPI 3 document.
func Document() ([]byte, error) {
	messages := object{}
	list := func(channel, prefix string, es []entry, of func(entry) object) (refs []any, in object) {
		in = object{}
		for _, e := range es {
			key := prefix + strings.ReplaceAll(e.name, ".", "_")
			messages[key] = object{"name": e.name, "summary": e.doc, "payload": of(e)}
			in[key] = object{"$ref": "#/components/messages/" + key}
			refs = append(refs, object{"$ref": "#/channels/" + channel + "/messages/" + key})
		}
		return refs, in
	}
	frame := func(e entry) object { return constant(schema(reflect.TypeOf(e.data)), "t", e.name) }
	sent, ws := list("websocket", "frame_", serverFrames, frame)
	received, in := list("websocket", "client_", clientFrames, frame)
	for k, v := range in {
		ws[k] = v
	}
	told, stream := list("events", "event_", events(), func(e entry) object { return eventSchema(e.name, e.data) })
	more, in := list("events", "control_", controls, func(e entry) object { return controlSchema(e.name, e.data) })
	for k, v := range in {
		stream[k] = v
	}
	channel := func(name string) object { return object{"$ref": "#/channels/" + name} }
	doc := object{
		"asyncapi": "3.0.0",
		"info": object{"title": "FluentPro realtime", "version": "2",
			"description": "Frames of the WebSocket and messages of the event stream; docs/protocol.md says what they mean. Unknown fields and unknown event types are to be ignored."},
		"defaultContentType": "application/json",
		"channels": object{
			"websocket": object{"address": "/api/v2/ws", "description": "Subprotocol conv.v1.json.", "messages": ws,
				"bindings": object{"ws": object{"method": "GET", "bindingVersion": "0.1.0"}}},
			"events": object{"address": "/api/v2/conversations/{id}/events", "description": "text/event-stream; the data of each message is one of these. The same events come in ev frames.",
				"parameters": object{"id": object{"description": "The conversation."}}, "messages": stream},
		},
		"operations": object{
			"sendFrames":    object{"action": "send", "channel": channel("websocket"), "messages": sent},
			"receiveFrames": object{"action": "receive", "channel": channel("websocket"), "messages": received},
			"sendEvents":    object{"action": "send", "channel": channel("events"), "messages": append(told, more...)},
		},
		"components": object{"messages": messages},
	}
	raw, err := json.MarshalIndent(doc, "", "  ")
	return append(raw, '\n'), err
}
