package authentication

import "github.com/fluentpro/fluentpro/internal/fault"

// Role is what an account may do; each may all that the one before may.
type Role string

// The roles.
const (
	// RoleLearner practises.
	RoleLearner Role = "learner"
	// RoleOperator looks after accounts.
	RoleOperator Role = "operator"
	// RoleAdmin also says who is what.
	RoleAdmin Role = "admin"
)

var ranks = map[Role]int{RoleLearner: 1, RoleOperator: 2, RoleAdmin: 3}

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	if ranks[Role(s)] == 0 {
		return "", &fault.Error{Code: fault.Invalid, Message: "There is no such role.", Fields: []fault.Field{
			{Name: "role", Code: "not_in_list", Message: "A role is learner, operator or admin."},
		}}
	}
	return Role(s), nil
}

// May reports whether r includes want.
func (r Role) May(want Role) bool { return ranks[r] >= ranks[want] && ranks[want] > 0 }
