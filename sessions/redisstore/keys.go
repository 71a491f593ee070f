package redisstore

import "github.com/fluentpro/fluentpro/conversation"

// Every key of this package is made here. The braces are the hash tag of Redis
// Cluster: each script touches one key only.

// keyVisits holds a learner's sessions. They are the fields of one key, so no
// index can outlive or under-live them.
// Type: hash of HashID of the session's id (whoever reads Redis cannot take a
// session over) to "<end>|<holder>|<JSON of visit>", end in ms of Redis's
// clock. TTL: Options.SessionTTL after the last write, which is when the one
// that ends last ends. Writer: the scripts of visits.go.
func keyVisits(u conversation.LearnerID) string { return "sd:{" + string(u) + "}" }

// keyConnections counts a learner's connections over all nodes.
// Type: hash of connection id to "<HashID of its session>|<JSON of
// sessions.Connection>". TTL: Options.EntryTTL after the last write. Writer:
// script enterConnection, Store.Exit, and Store.Connections, which removes what
// dead nodes left.
func keyConnections(u conversation.LearnerID) string { return "sc:{" + string(u) + "}" }

// keyViewers is who watches a conversation.
// Type: hash of connection id to JSON of sessions.Viewer. TTL: Options.EntryTTL
// after the last write. Writer: Store.PutViewers, DropViewers, and ListViewers,
// which removes what dead nodes left.
func keyViewers(c conversation.ID) string { return "sv:{" + string(c) + "}" }

// keyTicket is one connection ticket, named by the SHA-256 of its text.
// Type: string, JSON of sessions.Ticket. TTL: the ticket's life. Writer:
// Store.PutTicket, Store.TakeTicket.
func keyTicket(hash string) string { return "st:{" + hash + "}" }

const (
	// keyNodes holds the leases of all nodes.
	// Type: sorted set of node ids, scored by when each lease ends (ms of
	// Redis's clock). TTL: ten leases after the last renewal. Writer: script
	// beatNode, Store.Leave.
	keyNodes = "sn:{nodes}"
	// channelOrders carries sessions.Order as JSON to every node.
	channelOrders = "ss:orders"
)
