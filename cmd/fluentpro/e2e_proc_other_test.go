//go:build !linux

package main

import "syscall"

// dieWithTest can do nothing here: only Linux has such a signal.
func dieWithTest() *syscall.SysProcAttr { return nil }
