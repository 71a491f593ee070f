//go:build !race

package simulation

const ciSchedules = 3000
