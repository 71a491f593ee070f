package redisstore

import (
	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
)

// Every key of this package is made here. The braces are the hash tag of Redis
// Cluster: each script touches one key only.

// keySession is one session, named by the SHA-256 of its id: whoever reads
// Redis cannot take a session over.
// Type: hash user, client, node, created, last_seen (ms), subs (JSON object of
// conversation to cursor). TTL: Options.SessionTTL after the last Save or Get.
// Writer: Store.Save (script saveSession), Store.Get (TTL), Store.Delete.
func keySession(id string) string { return keySessionHash(sessions.HashID(id)) }

func keySessionHash(hash string) string { return "ss:{" + hash + "}" }

// keyUser indexes a user's sessions.
// Type: sorted set of session hashes, scored by when each ends (ms of Redis's
// clock). TTL: that of the member that ends last. Writer: script touchIndex,
// which also removes members that have ended, Store.Delete and Store.List.
func keyUser(u conversation.LearnerID) string { return "su:{" + string(u) + "}" }

// keyViewers is who watches a conversation.
// Type: hash of connection id to JSON of sessions.Viewer. TTL:
// Options.ViewerTTL after the last write; a field that is older than that is
// removed when it is read. Writer: Store.PutViewers, DropViewers, ListViewers.
func keyViewers(c conversation.ID) string { return "sv:{" + string(c) + "}" }
