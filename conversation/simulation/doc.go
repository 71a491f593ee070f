// Package simulation runs the real conversation core, two or three nodes of
// it, on stores in memory and in fake time, under schedules of faults drawn
// from a seed: nodes die, freeze and come back, Redis is emptied, rolled back,
// split or away, or is read and takes no writes, commands and answers are lost, late or doubled. A checker
// reads along with every viewer and every log and knows what the model wrote.
// Everything is in its tests:
//
//	go test ./conversation/simulation                     as many as fit CI
//	go test ./conversation/simulation -schedules 10000
//	go test ./conversation/simulation -seed 4711 -v       one again, told step by step
//
// Its mutation tests break one rule each and want the checker to notice.
package simulation
