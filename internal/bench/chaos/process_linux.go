package chaos

import "syscall"

// dieWithParent has the kernel end a child whose benchmark died without
// cleaning up.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
