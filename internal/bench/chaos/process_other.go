//go:build unix && !linux

package chaos

import "syscall"

// dieWithParent can do nothing here: only Linux has such a signal.
func dieWithParent() *syscall.SysProcAttr { return nil }
