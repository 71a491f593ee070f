// Package helpers has a name that is not allowed, in no room.
package helpers
