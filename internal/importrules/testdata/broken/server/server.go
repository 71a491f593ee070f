// Package server is what must not be imported.
package server
