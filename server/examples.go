package server

import (
	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/domains/practice"
)

// The values of the OpenAPI document's examples.
const (
	exampleID   = "0198c2a4-6f1e-7c3a-9d2b-5a1f0e7b4c21"
	exampleTime = int64(1780000000000)
	exampleCur  = "3.k3v9x2aa.412"
)

var exampleScenario = practice.View{
	ID: exampleID, Level: "B1", Industry: "banking_finance", JobRole: "credit_analyst", PartnerType: "clients", Situation: "meetings",
	CreatedAt: exampleTime, Title: "Agreeing on a new delivery date",
	Summary: "A client expects a report tomorrow and you need two more days.",
	Brief:   "You are a credit analyst. Your client expects the risk report tomorrow, but one table is still missing. Explain why and agree on a new date.",
	Objectives: []practice.Objective{
		{ID: "o1", Kind: "task", Text: "Explain why the report is late", Evidence: "the learner names the missing table as reason", Required: true, Weight: 40},
		{ID: "o2", Kind: "task", Text: "Agree on a new date", Evidence: "both sides name the same new date", Required: true, Weight: 40},
		{ID: "o3", Kind: "register", Text: "Stay polite under pressure", Evidence: "the learner softens at least one refusal", Required: false, Weight: 20},
	},
	Outcome: "A new delivery date is agreed.", Channel: "chat", Register: "neutral",
	Learner: practice.Role{Title: "Credit analyst", Facts: []practice.Fact{
		{ID: "l1", Text: "One table comes on Thursday."}, {ID: "l2", Text: "You can send a draft today."}}},
	Partner: practice.PublicPartner{Name: "Mina Okafor", Title: "Head of procurement", Voice: []string{"direct", "friendly"}},
	Phrases: []practice.Phrase{{Text: "Would Friday work for you?", Function: "suggest", Note: "softer than a demand"}},
	Words:   []practice.Word{{Lemma: "deadline", PartOfSpeech: "noun", Meaning: "the last possible time", Example: "The deadline is Friday."}},
	Opening: practice.Opening{Speaker: "partner", Line: "Hello! Is the report ready for tomorrow?"},
}

var (
	exampleTurns = []conversation.Turn{
		{N: 1, ID: exampleID, Author: conversation.Learner, Text: "Would Friday work for you?", ClientID: "m1", Run: 1, At: exampleTime},
		{N: 2, ID: exampleID, Author: conversation.Partner, Text: "Friday is fine. Send me the draft today.", Run: 1, Finish: "stop", At: exampleTime},
	}
	exampleConversation = conversationItem{ID: exampleID, Title: exampleScenario.Title, State: "active", CreatedAt: exampleTime, ScenarioID: exampleID}
	exampleStopped      = conversation.Stopped{Run: 1, State: "stopped", At: exampleTime, TextLen: 118}
)

// Streams of other protocols, as far as an example shows them.
const (
	exampleChunks = "data: {\"type\":\"start\",\"messageId\":\"" + exampleID + "\"}\n\ndata: {\"type\":\"text-delta\",\"id\":\"1\",\"delta\":\"Friday is fine.\"}\n\ndata: [DONE]\n\n"
	exampleAGUI   = "data: {\"type\":\"RUN_STARTED\",\"threadId\":\"" + exampleID + "\",\"runId\":\"r1\"}\n\n"
)

// exampleParams are the examples of parameters, by their names; freeze puts
// them where a parameter has none of its own.
var exampleParams = map[string]any{
	"id": exampleID, "run": 1, "step": "language", "kind": "roles", "industry": "banking_finance",
	"before": exampleID, "limit": 20, "email": "ana@", "branch": 2, "Idempotency-Key": "req-1", "message": "msg-1",
}

func exampleSnapshot(kind conversation.Kind) snapshotBody {
	st := conversation.State{
		Header: conversation.Header{ID: exampleID, Kind: kind, Title: exampleScenario.Title, State: "active", CreatedAt: exampleTime},
		Turns:  []conversation.Turn{},
		Open:   &conversation.OpenReply{Run: 1, MessageID: exampleID, Attempt: 1, Base: 1, Text: "Hello! Thanks for"},
	}
	return snapshotBody{Cur: exampleCur, State: st}
}
