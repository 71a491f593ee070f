// Package finding is how a part of the house says that a server it relies on
// is set up in a way that costs data or availability.
package finding

import "fmt"

// Finding is one such setting.
type Finding struct {
	// Name is stable; operators accept a finding by it.
	Name string `json:"name"`
	// Grave findings keep the staging and production profiles from starting.
	Grave bool `json:"grave"`
	// Setting is the other server's own name for it, Value what it is.
	Setting string `json:"setting"`
	Value   string `json:"value"`
	// Why says what it costs, Fix what to do.
	Why string `json:"why"`
	Fix string `json:"fix"`
	// At names the server where there are several.
	At string `json:"at,omitempty"`
}

// String is the finding as one line for people.
func (f Finding) String() string {
	at := ""
	if f.At != "" {
		at = " at " + f.At
	}
	return fmt.Sprintf("%s: %s is %s%s: %s; %s", f.Name, f.Setting, f.Value, at, f.Why, f.Fix)
}
