//go:build race

package simulation

const ciSchedules = 1000
