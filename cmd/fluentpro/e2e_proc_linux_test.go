package main

import "syscall"

// dieWithTest has the kernel end a process whose test died without cleaning up.
func dieWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
