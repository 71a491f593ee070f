// Package conversation breaks a rule: the heart must not know the front door.
package conversation

import _ "github.com/fluentpro/fluentpro/server"
