package server

import (
	"encoding/json"
	"reflect"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/domains/authentication"
)

// jsonObject stands in the document for JSON that another room owns.
type jsonObject map[string]any

var (
	rawJSON         = reflect.TypeFor[json.RawMessage]()
	anyJSON         = reflect.TypeFor[jsonObject]()
	problemReflect  = reflect.TypeFor[Problem]()
	refusalReflect  = reflect.TypeFor[refusal]()
	turnReflect     = reflect.TypeFor[conversation.Turn]()
	personalReflect = reflect.TypeFor[authentication.PersonalRow]()
	exportReflect   = reflect.TypeFor[exportRow]()
	stoppedReflect  = reflect.TypeFor[conversation.Stopped]()
)
