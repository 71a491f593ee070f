// Package importrules holds the test of who may import whom. The table stands
// in rules_test.go; the depguard section of .golangci.yml is made from it:
//
//	go test ./internal/importrules -update
package importrules
