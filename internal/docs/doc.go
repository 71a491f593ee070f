// Package docs holds the tests that keep the documents true: links lead
// somewhere, commands and settings exist, and the tables of codes, settings
// and import rules are made from the code. After a change of the code:
//
//	go test ./internal/docs -update
package docs
