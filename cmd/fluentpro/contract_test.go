package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// The API is held to its own document: it is read from the running binary, and
// every operation is driven by it.

// exampleThing is the id that stands in all examples of the document.
const exampleThing = "0198c2a4-6f1e-7c3a-9d2b-5a1f0e7b4c21"

// noSuccess are operations whose example cannot succeed here, and why.
var noSuccess = map[string]string{
	"open-websocket": "a plain GET is no handshake",
	"verify-email":   "its token comes by mail", "confirm-email": "its token comes by mail", "reset-password": "its token comes by mail",
	"list-accounts": "is for operators", "get-account": "is for operators", "deactivate-account": "is for operators", "erase-account": "is for operators",
	"reactivate-account": "is for operators", "set-account-role": "is for operators",
	"reactivate": "needs an account that was deactivated", "resend-verification": "may be verified already",
}

type contractOp struct {
	method, path, base string
	ID                 string `json:"operationId"`
	Security           []any  `json:"security"`
	Servers            []struct {
		URL string `json:"url"`
	} `json:"servers"`
	Parameters []struct {
		Name, In string
		Required bool
		Example  any
	} `json:"parameters"`
	RequestBody *struct {
		Required bool
		Content  map[string]struct{ Example json.RawMessage }
	} `json:"requestBody"`
	Responses map[string]struct {
		Content map[string]json.RawMessage
	} `json:"responses"`
}

// contractor drives one server by its document.
type contractor struct {
	t       *testing.T
	base    string
	web     *http.Client
	schemas *testenv.Schemas
	sent    int
	email   string
	refresh string
	token   string
	// cursor is one of the conversation, login the newcomer's.
	cursor, login string
	// things are the real ids for the paths that begin so.
	things map[string]string
}

// attempt is one request.
type attempt struct {
	name, token, media string
	path, query        map[string]string
	headers            map[string]string
	body               []byte
}

func TestContract(t *testing.T) {
	t.Parallel()
	p := start(t, "contract", "FLUENTPRO_UPSTREAM_SCRIPT_TOKENS_PER_SECOND=5000")
	l, conversation := ready(t, p.base)
	c := &contractor{t: t, base: p.base, web: l.http}
	var scenarios struct{ Scenarios []struct{ ID string } }
	l.call("GET", "/scenarios", nil, &scenarios)
	c.things = map[string]string{"/conversations/": conversation, "/scenarios/": scenarios.Scenarios[0].ID, "/scenario-requests/": l.askScenario(),
		"/api/chat/": conversation}
	var snapshot struct{ Cur string }
	l.call("GET", "/conversations/"+conversation, nil, &snapshot)
	c.cursor = snapshot.Cur
	a, err := l.try("GET", "/openapi.json", nil)
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("read the document: %d %v", a.status, err)
	}
	c.schemas = testenv.NewSchemas(t, a.body)
	ops := operations(t, a.body)
	for _, op := range ops {
		c.token = l.token
		alone := strings.HasPrefix(op.path, "/me") || strings.HasPrefix(op.path, "/auth")
		if alone {
			c.newcomer() // these may end what the others need
		}
		if op.ID == "erase-conversation" { // one of its own: the others need theirs
			c.things["/conversations/"] = l.converse()
		}
		c.good(op)
		c.things["/conversations/"] = conversation
		if alone {
			c.newcomer()
		}
		for _, bad := range c.broken(op) {
			c.send(op, bad)
		}
	}
	if len(ops) < 30 || c.sent < 25*len(ops) {
		t.Errorf("%d requests for %d operations are too few to mean something", c.sent, len(ops))
	}
	t.Logf("%d operations, %d requests", len(ops), c.sent)
}

func operations(t *testing.T, doc []byte) (out []*contractOp) {
	t.Helper()
	var d struct {
		Paths map[string]map[string]*contractOp
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
			op := d.Paths[path][method]
			op.method, op.path, op.base = strings.ToUpper(method), path, "/api/v2"
			if len(op.Servers) > 0 {
				op.base = strings.TrimSuffix(op.Servers[0].URL, "/")
			}
			out = append(out, op)
		}
	}
	return out
}

const contractPassword = "correct horse battery"

// newcomer makes a learner of one's own for what may end the account.
func (c *contractor) newcomer() {
	c.t.Helper()
	c.email = fmt.Sprintf("contract%d@example.com", rand.Uint64())
	l := &learner{t: c.t, http: c.web, node: c.base}
	var s struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	l.call("POST", "/auth/sign-up", map[string]any{"email": c.email, "password": contractPassword, "full_name": "Ana Souza", "accept_terms": true, "age_confirmed": true}, &s)
	c.token, c.refresh, l.token = s.AccessToken, s.RefreshToken, s.AccessToken
	var list struct{ Logins []struct{ ID string } }
	l.call("GET", "/me/logins", nil, &list)
	c.login = list.Logins[0].ID
}

// example is the request of the document, with the ids that exist.
func (c *contractor) example(op *contractOp) attempt {
	a := attempt{name: "the example", token: c.token, path: map[string]string{}}
	for _, p := range op.Parameters {
		if p.In == "path" {
			a.path[p.Name] = fmt.Sprint(p.Example)
		}
		if p.Name == "after" {
			a.query = map[string]string{"after": c.cursor}
		}
	}
	thing := c.things["/conversations/"] // what most bodies mean by an id
	for prefix, id := range c.things {
		if strings.HasPrefix(op.path, prefix) {
			thing = id
		}
	}
	if op.path == "/conversations" {
		thing = c.things["/scenarios/"]
	}
	if op.path == "/me/logins/{id}" {
		thing = c.login
	}
	if _, ok := a.path["id"]; ok {
		a.path["id"] = thing
	}
	if op.RequestBody != nil {
		a.media = "application/json"
		email := c.email
		if op.ID == "sign-up" {
			email = fmt.Sprintf("fresh%d@example.com", rand.Uint64())
		}
		a.body = []byte(strings.NewReplacer(exampleThing, thing, "ana@example.com", email, "kZ3v…", c.refresh).
			Replace(string(op.RequestBody.Content["application/json"].Example)))
	}
	return a
}

// good sends the example, which must succeed as documented.
func (c *contractor) good(op *contractOp) {
	c.t.Helper()
	status := c.send(op, c.example(op))
	if _, known := noSuccess[op.ID]; status >= 300 && !known {
		c.t.Errorf("%s: the example is answered %d", op.ID, status)
	}
}

// send makes one request and holds its answer to the document.
func (c *contractor) send(op *contractOp, a attempt) int {
	c.t.Helper()
	c.sent++
	path := op.path
	for name, value := range a.path {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
	}
	q := url.Values{}
	for k, v := range a.query {
		q.Set(k, v)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), soon)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, op.method, c.base+op.base+path+"?"+q.Encode(), bytes.NewReader(a.body))
	if err != nil {
		c.t.Fatal(err)
	}
	if a.media != "" {
		req.Header.Set("Content-Type", a.media)
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	for k, v := range a.headers {
		req.Header.Set(k, v)
	}
	res, err := c.web.Do(req)
	if err != nil {
		c.t.Errorf("%s, %s: %v", op.ID, a.name, err)
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	say := func(format string, args ...any) {
		c.t.Helper()
		c.t.Errorf("%s, %s: %d %s", op.ID, a.name, res.StatusCode, fmt.Sprintf(format, args...))
	}
	documented, ok := op.Responses[strconv.Itoa(res.StatusCode)]
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if media == "text/event-stream" {
		if _, known := documented.Content[media]; !known {
			say("a stream is not documented")
		}
		return res.StatusCode // it may never end
	}
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		say("%v", err)
	case res.StatusCode == http.StatusInternalServerError || !ok:
		say("is not documented or is a 500: %.300s", body)
	case len(body) == 0:
		if len(documented.Content) > 0 {
			say("has no body")
		}
	case res.StatusCode >= 400 && op.base != "" && media != "application/problem+json":
		say("is no problem document: %s", media)
	case documented.Content[media] == nil:
		say("%s is not documented", media)
	default:
		keys := []string{"paths", op.path, strings.ToLower(op.method), "responses", strconv.Itoa(res.StatusCode), "content", media, "schema"}
		if err := c.schemas.Check(body, keys...); err != nil {
			say("does not fit its schema: %v: %.300s", err, body)
		}
	}
	return res.StatusCode
}

// broken are requests that are wrong in one thing each.
func (c *contractor) broken(op *contractOp) (out []attempt) {
	with := func(name string, change func(*attempt)) {
		a := c.example(op)
		a.name = name
		change(&a)
		out = append(out, a)
	}
	long := strings.Repeat("x", 300)
	with("no token", func(a *attempt) { a.token = "" })
	with("a bad token", func(a *attempt) { a.token = "nonsense" })
	with("a long token", func(a *attempt) { a.token = strings.Repeat("x", 9000) })
	if op.method != http.MethodGet {
		with("a foreign page", func(a *attempt) { a.headers = map[string]string{"Origin": "https://evil.example"} })
		with("a foreign site", func(a *attempt) { a.headers = map[string]string{"Sec-Fetch-Site": "cross-site"} })
	}
	for _, p := range op.Parameters {
		for _, v := range []string{"x", "-1", "0", "99999999999999999999", long, "\x00", "'; DROP TABLE learners; --", "%2e%2e", "00000000-0000-0000-0000-000000000000"} {
			with(p.Name+" is "+strconv.Quote(v[:min(20, len(v))]), func(a *attempt) {
				switch p.In {
				case "path":
					a.path[p.Name] = v
				case "query":
					a.query = map[string]string{p.Name: v}
				default:
					if v != "\x00" { // no header can hold it
						a.headers = map[string]string{p.Name: v}
					}
				}
			})
		}
	}
	if op.RequestBody == nil {
		return out
	}
	for name, body := range map[string]string{
		"no body": "", "half a body": `{"a":`, "a list": `[]`, "null": `null`, "a text": `"x"`, "empty": `{}`, "NUL": `{"a":"\u0000"}`,
		"not UTF-8": "{\"a\":\"\xff\"}", "deep": strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), "large": `{"a":"` + strings.Repeat("x", 70<<10) + `"}`,
		"twice": `{"a":1,"a":2}`,
	} {
		with(name, func(a *attempt) { a.body = []byte(body) })
	}
	with("a form", func(a *attempt) { a.media = "application/x-www-form-urlencoded" })
	with("gzip", func(a *attempt) { a.headers = map[string]string{"Content-Encoding": "gzip"} })
	var fields map[string]any
	if err := json.Unmarshal(c.example(op).body, &fields); err != nil {
		c.t.Fatalf("%s: its example: %v", op.ID, err)
	}
	change := func(name, field string, v any) {
		m := maps.Clone(fields)
		if m[field] = v; v == errGone {
			delete(m, field)
		}
		raw, err := json.Marshal(m)
		if err != nil {
			c.t.Fatal(err)
		}
		with(name, func(a *attempt) { a.body = raw })
	}
	change("an unknown field", "no_such_field", 1)
	for field := range fields {
		change("without "+field, field, errGone)
		for _, v := range []any{nil, 7, -1.5, true, "", " ", strings.Repeat("字", 5000), []any{}, []any{nil}, map[string]any{}, map[string]any{"x": []any{1}}, "\u202e<script>'\"\\"} {
			change(fmt.Sprintf("%s is %.20v", field, v), field, v)
		}
	}
	return out
}

// errGone marks a field to leave out.
var errGone = errors.New("left out")
