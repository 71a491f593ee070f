//go:build !race

package simulation

const ciSchedules = 10_000
