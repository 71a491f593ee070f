package postman

import "fmt"

// variables are those of the collection; the journey fills all but the first.
var variables = []Variable{
	{"base_url", "http://127.0.0.1:8080"}, {"email", ""}, {"access_token", ""}, {"refresh_token", ""}, {"role", ""},
	{"request_id", ""}, {"scenario_id", ""}, {"conversation_id", ""}, {"looks", "0"},
}

// stop is one request of the journey.
type stop struct {
	op   string
	name string
	// path replaces values of the path.
	path map[string]string
	body any
	// before runs ahead of the request, after with its JSON in body.
	before, after []string
}

type object = map[string]any

func answer(step string, value object) stop {
	return stop{op: "set-onboarding-step", name: "Answer: " + step, path: map[string]string{"step": step}, body: value}
}

func keep(variable, from string) string {
	return "pm.collectionVariables.set('" + variable + "', " + from + ");"
}

const password = "correct horse battery"

// again asks for a thing once more until it is there; what a runner should do
// next is told by the name of a request.
func again(name, there string) []string {
	return []string{
		"const looks = Number(pm.collectionVariables.get('looks')) + 1;",
		keep("looks", "String(looks)"),
		"pm.test('it is written in time', () => { pm.expect(looks).to.be.below(600); });",
		"if (!(" + there + ") && looks < 600) { pm.execution.setNextRequest('" + name + "'); }",
	}
}

const waiting = "Wait until the scenario is written"

// journey is the way of a new learner.
var journey = []stop{
	{
		op: "sign-up", name: "Sign up",
		body:   object{"email": "{{email}}", "password": password, "full_name": "Ana Souza", "accept_terms": true, "age_confirmed": true},
		before: []string{keep("email", "`postman-${Date.now()}-${Math.floor(Math.random() * 1e9)}@example.com`"), keep("looks", "'0'")},
		after:  []string{keep("access_token", "body.access_token"), keep("refresh_token", "body.refresh_token")},
	},
	{
		op: "refresh", name: "Get new tokens", body: object{"refresh_token": "{{refresh_token}}"},
		after: []string{keep("access_token", "body.access_token"), keep("refresh_token", "body.refresh_token")},
	},
	{op: "get-me", name: "Who am I"},
	answer("language", object{"language": "zh_Hant"}),
	answer("industry", object{"industry": "banking_finance"}),
	answer("job", object{"title": "Credit analyst", "description": "I study the figures of borrowers and recommend loans."}),
	{op: "list-role-matches", name: "Which roles fit", after: []string{
		"pm.test('a role fits', () => { pm.expect(body.matches).to.not.be.empty; });", keep("role", "body.matches[0].role"),
	}},
	answer("role", object{"role": "{{role}}"}),
	answer("partners", object{"partners": []object{{"partner": "clients"}, {"custom": "Risk board"}}}),
	answer("situations", object{"situations": []object{
		{"partner": "clients", "situations": []object{{"situation": "meetings"}}},
		{"partner": "custom:Risk board", "situations": []object{{"situation": "presentations"}}},
	}}),
	answer("level", object{"level": "B1"}),
	answer("summary", object{"confirmed": true}),
	{op: "complete-onboarding", name: "Complete onboarding", after: []string{"pm.test('onboarding is complete', () => { pm.expect(body.complete).to.equal(true); });"}},
	{op: "request-scenario", name: "Ask for a scenario", body: object{"partner": "clients", "situation": "meetings"}, after: []string{keep("request_id", "body.id")}},
	{op: "list-scenarios", name: waiting, before: []string{"setTimeout(() => {}, 200); // the request waits for it"}, after: append(again(waiting, "body.scenarios.length > 0"),
		"if (body.scenarios.length > 0) "+keep("scenario_id", "body.scenarios[0].id"))},
	{op: "create-conversation", name: "Begin a conversation", body: object{"scenario_id": "{{scenario_id}}"}, after: []string{keep("conversation_id", "body.id")}},
	{op: "send-message", name: "Send a message", body: object{"client_id": "postman-1", "text": "Would Friday work for you?"}},
	{op: "get-conversation", name: "Read the conversation", after: []string{
		"pm.test('the message is there', () => { pm.expect(body.state.turns.some((t) => t.client_id === 'postman-1')).to.equal(true); });",
	}},
}

// journeyFolder is the journey over the operations of a document.
func journeyFolder(ops map[string]*operation) (Item, error) {
	folder := Item{Name: "Journey", Description: "From sign-up to the first message. Each request must succeed, in this order."}
	for _, st := range journey {
		op := ops[st.op]
		if op == nil {
			return Item{}, fmt.Errorf("the journey goes over %s, which the document does not have", st.op)
		}
		item := op.item(st.body)
		item.Name = st.name
		for i, v := range item.Request.URL.Variable {
			if value, ok := st.path[v.Key]; ok {
				item.Request.URL.Variable[i].Value = value
			}
		}
		if st.before != nil {
			item.Event = append(item.Event, Event{Listen: "prerequest", Script: Script{Type: "text/javascript", Exec: st.before}})
		}
		lines := []string{"pm.test('it succeeds', () => { pm.expect(pm.response.code).to.be.within(200, 299); });"}
		if st.after != nil {
			lines = append(append(lines, "const body = pm.response.json();"), st.after...)
		}
		item.Event = append(item.Event, test(lines))
		folder.Item = append(folder.Item, item)
	}
	return folder, nil
}
