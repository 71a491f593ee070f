package testenv

import "syscall"

// dieWithParent has the kernel end the child when the test process dies
// without cleaning up (a timeout, kill -9).
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
