package redislog

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/fluentpro/fluentpro/conversation"
)

// decodeEntry reads what lib.lua's log wrote. An entry that names another
// conversation is an error: a pooled connection gave a foreign answer.
func decodeEntry(id conversation.ID, seq int64, s string) (conversation.Event, error) {
	ev := conversation.Event{Seq: seq}
	var f [9]string
	for i := range f {
		j := strings.IndexByte(s, '|')
		if j < 0 {
			return ev, damaged("entry %d cannot be read", seq)
		}
		f[i], s = s[:j], s[j+1:]
	}
	if f[0] != tag(id) {
		return ev, damaged("entry %d names another conversation", seq)
	}
	ev.Type = f[1]
	if !isType(ev.Type) {
		return ev, damaged("entry %d has no type", seq)
	}
	for i, p := range []*int64{&ev.Run, &ev.Attempt, &ev.Base, &ev.At, &ev.Len, &ev.Fact, &ev.TS} {
		n, err := strconv.ParseInt(f[2+i], 10, 64)
		if err != nil {
			return ev, damaged("entry %d cannot be read", seq)
		}
		*p = n
	}
	if ev.IsDelta() {
		ev.Text = s
	} else if s != "" {
		if ev.Data = json.RawMessage(s); !json.Valid(ev.Data) {
			return ev, damaged("entry %d cannot be read", seq)
		}
	}
	return ev, nil
}

// isType reports a name that may stand in an envelope as it is. It need not be
// one that this version knows: what a newer one writes is passed on.
func isType(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

// decodeBell reads a published message: "<counter>.<nonce>.<seq>|entry".
func decodeBell(id conversation.ID, s string) (conversation.Epoch, conversation.Event, error) {
	head, entry, ok := strings.Cut(s, "|")
	cur, ok2 := conversation.ParseCursor(head)
	if !ok || !ok2 {
		return conversation.Epoch{}, conversation.Event{}, fmt.Errorf("bell of %s cannot be read", id)
	}
	ev, err := decodeEntry(id, cur.Seq, entry)
	return cur.Epoch, ev, err
}

// decodeTurns reads the turns list. A turn that a node without branches has
// put there follows the one before it.
func decodeTurns(list []string) ([]conversation.Turn, error) {
	turns := make([]conversation.Turn, len(list))
	for i, s := range list {
		t := struct {
			*conversation.Turn
			Parent *int64 `json:"parent"`
		}{Turn: &turns[i]}
		if err := unseal(s, &t); err != nil {
			return nil, damaged("turn %d of those kept %v", i+1, err)
		}
		if t.Parent == nil {
			conversation.Linear(turns[:i], &turns[i])
		} else {
			turns[i].Parent = *t.Parent
		}
	}
	return turns, nil
}

func encodeHead(h conversation.Head) string {
	return strconv.FormatInt(h.Run, 10) + "." + strconv.FormatInt(h.Turn, 10)
}

// decodeHead reads the tip of the active branch; a log made by a node without
// branches has none, and its newest message is it.
func decodeHead(s string, turns []conversation.Turn) conversation.Head {
	if run, turn, ok := strings.Cut(s, "."); ok {
		return conversation.Head{Run: atoi(run), Turn: atoi(turn)}
	}
	var h conversation.Head
	for _, t := range turns {
		if t.Run > h.Run {
			h = conversation.Head{Run: t.Run, Turn: t.Parent}
			if t.Author == conversation.Learner {
				h.Turn = t.N
			}
		}
	}
	return h
}

// storedHeader is the header as Redis holds it, with what clients never see.
type storedHeader struct {
	conversation.Header
	Owner conversation.LearnerID `json:"owner"`
	Meta  json.RawMessage        `json:"meta,omitempty"`
}

func encodeHeader(h conversation.Header) (string, error) {
	b, err := json.Marshal(storedHeader{Header: h, Owner: h.Owner, Meta: h.Meta})
	return sealed(b), err
}

func decodeHeader(id conversation.ID, s string) (conversation.Header, error) {
	var sh storedHeader
	if err := unseal(s, &sh); err != nil {
		return conversation.Header{}, damaged("header %v", err)
	}
	if sh.Header.ID != id {
		return conversation.Header{}, damaged("header names another conversation")
	}
	sh.Header.Owner, sh.Header.Meta = sh.Owner, sh.Meta
	return sh.Header, nil
}

// damaged says what is wrong with a log, without a word of its content.
func damaged(format string, args ...any) error {
	return &conversation.DamagedError{What: fmt.Sprintf(format, args...)}
}

// table is the polynomial of the checksum in front of header and turns
// (CRC-32C, as iSCSI and most storage have it).
var table = crc32.MakeTable(crc32.Castagnoli)

// sealed puts the checksum of a record in front of it, in eight hexadecimal
// digits: what a foreign hand or a failing machine changes must show, and not
// pass for what was said.
func sealed(b []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(b, table)) + string(b)
}

// unseal checks and reads a record.
func unseal(s string, into any) error {
	if len(s) < 8 {
		return errors.New("is cut short")
	}
	if sum, err := strconv.ParseUint(s[:8], 16, 32); err != nil || uint32(sum) != crc32.Checksum([]byte(s[8:]), table) {
		return errors.New("has a wrong checksum")
	}
	if err := json.Unmarshal([]byte(s[8:]), into); err != nil {
		return errors.New("cannot be read")
	}
	return nil
}
