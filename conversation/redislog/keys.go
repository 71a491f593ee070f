package redislog

import (
	"strconv"

	"github.com/fluentpro/fluentpro/conversation"
)

// The book of keys. All keys of a conversation share the hash tag of its
// shard, so that one script may touch them on a cluster; inc is the number of
// the Redis incarnation, so that what an older one left is never read.
//
//	cv:{s}:<inc>:<id>:m  hash    state of the log         TTL 24 h, scripts
//	cv:{s}:<inc>:<id>:l  stream  the log, ids <seq>-0     TTL 24 h, scripts
//	cv:{s}:<inc>:<id>:p  string  open text                TTL 24 h, scripts
//	cv:{s}:<inc>:<id>:t  list    finished turns as JSON   TTL 24 h, scripts
//	cv:{s}:<inc>:<id>:h  string  header as JSON           TTL 24 h, scripts
//	cv:{s}:mark          string  marker of an incarnation no TTL, identity.lua;
//	                             on a cluster one per shard, else just {0}
//	cv:{s}:<id>:lk       string  the redislock            TTL = lease
//	cv:{s}:<id>          channel the bell
const shards = 256

// shard is fixed for ever: CRC16 (XMODEM, as Redis Cluster uses) mod 256.
func shard(id conversation.ID) int {
	crc := uint16(0)
	for i := range len(id) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^id[i]]
	}
	return int(crc) % shards
}

// crcTable makes a step of a whole byte: every append computes this.
var crcTable = func() (t [256]uint16) {
	for i := range t {
		crc := uint16(i) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
		t[i] = crc
	}
	return t
}()

func shardTag(s int) string { return "cv:{" + strconv.Itoa(s) + "}:" }

// tryKey is written to find out whether a shard takes writes.
func tryKey(s int) string { return shardTag(s) + "try" }

func markKey(s int) string { return shardTag(s) + "mark" }

// logKeys are the five keys of a log; there is room for the marker.
func logKeys(s int, inc int64, id conversation.ID) []string {
	p := shardTag(s) + strconv.FormatInt(inc, 10) + ":" + string(id)
	return append(make([]string, 0, 6), p+":m", p+":l", p+":p", p+":t", p+":h")
}

// LockKey is the conversation's redislock key.
func LockKey(id conversation.ID) string { return shardTag(shard(id)) + string(id) + ":lk" }

// Channel is the conversation's bell.
func Channel(id conversation.ID) string { return shardTag(shard(id)) + string(id) }

// tag is the short name of the conversation that every entry carries.
func tag(id conversation.ID) string {
	if len(id) < 12 {
		return string(id)
	}
	return string(id[len(id)-12:])
}
