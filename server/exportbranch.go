package server

import (
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// branch says which turns an export has: those of the branch with this run at
// its tip, 0 for the one that is shown, or all.
type branch struct {
	run int64
	all bool
}

var (
	branchParam = &huma.Param{Name: "branch", In: "query", Example: "2", Schema: &huma.Schema{Type: "string", Pattern: "^([0-9]{1,19}|all)$"},
		Description: "The run at its tip, or all; the branch that is shown without it"}
	allBranchesParam = &huma.Param{Name: "branch", In: "query", Example: "all", Schema: &huma.Schema{Type: "string", Enum: []any{"all"}},
		Description: "All branches; those that are shown without it"}
)

// branchOf reads the query parameter. A run says nothing about many
// conversations, so it is taken for one only.
func branchOf(s string, one bool) (branch, error) {
	switch s {
	case "":
		return branch{}, nil
	case "all":
		return branch{all: true}, nil
	}
	form := "must be all"
	if one {
		form = "must be the number of a run, or all"
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && s[0] >= '0' { // no sign
			return branch{run: n}, nil
		}
	}
	return branch{}, &fault.Error{Code: fault.Invalid, Message: "There is no such choice of branch.",
		Fields: []fault.Field{{Name: "query.branch", Code: "bad_format", Message: form}}}
}
