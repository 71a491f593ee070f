package server

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The style guide of docs/api.md, held against the document that the routes
// make. testdata/style.json breaks each rule once.

// styleDoc is what the rules look at.
type styleDoc struct {
	Paths      map[string]map[string]styleOp `json:"paths"`
	Components struct {
		Schemas map[string]styleSchema `json:"schemas"`
	} `json:"components"`
}

type styleSchema struct {
	Type       any                    `json:"type"`
	Ref        string                 `json:"$ref"`
	Properties map[string]styleSchema `json:"properties"`
	Items      *styleSchema           `json:"items"`
	Default    any                    `json:"default"`
	Maximum    *float64               `json:"maximum"`
}

type styleOp struct {
	OperationID string                  `json:"operationId"`
	Summary     string                  `json:"summary"`
	Tags        []string                `json:"tags"`
	Security    []map[string][]string   `json:"security"`
	Parameters  []styleParam            `json:"parameters"`
	RequestBody *styleContent           `json:"requestBody"`
	Responses   map[string]styleContent `json:"responses"`
}

type styleParam struct {
	Name    string      `json:"name"`
	In      string      `json:"in"`
	Schema  styleSchema `json:"schema"`
	Example any         `json:"example"`
}

type styleContent struct {
	Content map[string]struct {
		Schema   styleSchema    `json:"schema"`
		Example  any            `json:"example"`
		Examples map[string]any `json:"examples"`
	} `json:"content"`
}

// publicOps need no sign-in; whoever adds one says so here.
var publicOps = []string{"sign-up", "login", "refresh", "logout", "get-server-info", "open-websocket", "forgot-password", "reset-password",
	"verify-email", "reactivate", "get-jwks", "list-identity-providers"}

// unpaged lists have a small bound of their own.
var unpaged = []string{"list-recommendations", "list-logins", "list-onboarding-options", "list-role-matches", "list-identity-providers"}

// verbs begin an operation id; other names are those of single actions.
var verbs = regexp.MustCompile(`^(get|list|create|update|set|delete|add|remove|end|begin|start|stop|cancel|resume|pause|send|edit|regenerate|read|export|stream|open|request|complete|reset|verify|forgot|change|confirm|deactivate|reactivate|erase|refresh|run|chat|sign|log|choose|switch|select|fork|rename|rate|retry|mark|finish|restore|archive|resend)(-|$|in|out)`)

// styleProblems lists what breaks the style guide.
func styleProblems(doc *styleDoc) []string {
	var out []string
	for path, ops := range doc.Paths {
		foreign := foreignPath(path)
		if !foreign {
			for _, s := range pathProblems(path) {
				out = append(out, path+": "+s)
			}
		}
		for method, op := range ops {
			say := func(format string, args ...any) {
				out = append(out, strings.ToUpper(method)+" "+path+": "+fmt.Sprintf(format, args...))
			}
			opProblems(say, method, &op, foreign)
			if !foreign {
				pageProblems(say, method, &op, doc)
			}
		}
	}
	for name, s := range doc.Components.Schemas {
		for prop, ps := range s.Properties {
			if !snake.MatchString(prop) {
				out = append(out, name+"."+prop+": names of fields are snake_case")
			}
			if strings.HasSuffix(prop, "_at") && ps.Type != "integer" {
				out = append(out, name+"."+prop+": a time is milliseconds since 1970")
			}
		}
	}
	slices.Sort(out)
	return out
}

var (
	snake = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	curly = regexp.MustCompile(`^\{[a-z_]+\}$`)
)

// pathProblems wants plural kebab-case nouns, and the words that name no collection.
func pathProblems(path string) (out []string) {
	for _, s := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		switch {
		case curly.MatchString(s), param.MatchString(s), notPlural[s]:
		case !segment.MatchString(s):
			out = append(out, fmt.Sprintf("%q is not kebab-case", s))
		case !strings.HasSuffix(s, "s"):
			out = append(out, fmt.Sprintf("%q is not a plural noun", s))
		}
	}
	return out
}

// successes are the statuses that a method may answer.
var successes = map[string][]string{
	"get": {"101", "200", "204"}, "post": {"200", "201", "202", "204"}, "put": {"200", "204"}, "patch": {"200"}, "delete": {"200", "202", "204"},
}

func opProblems(say func(string, ...any), method string, op *styleOp, foreign bool) {
	if !opID.MatchString(op.OperationID) || !verbs.MatchString(op.OperationID) {
		say("the operation id %q is not kebab-case with a verb first", op.OperationID)
	}
	if op.Summary == "" || strings.HasSuffix(op.Summary, ".") || len(op.Summary) > 80 || len(op.Tags) != 1 {
		say("wants a summary of one line without a full stop, and one tag")
	}
	if public := slices.Contains(publicOps, op.OperationID); public == (len(op.Security) > 0) {
		say("security is declared: %v, is public: %v", len(op.Security) > 0, public)
	} else if _, ok := op.Responses["401"]; !ok && !public {
		say("needs a sign-in and has no 401")
	}
	if method == "get" && op.RequestBody != nil {
		say("a GET has no body")
	}
	if op.RequestBody != nil && !exampled(op.RequestBody) {
		say("its body has no example")
	}
	for _, p := range op.Parameters {
		if p.Example == nil {
			say("the parameter %s has no example", p.Name)
		}
	}
	good := 0
	for status, res := range op.Responses {
		code, _ := strconv.Atoi(status)
		switch {
		case code < 400:
			good++
			if !slices.Contains(successes[method], status) {
				say("%s does not answer %s", strings.ToUpper(method), status)
			}
			if (status == "204" || status == "101") != (len(res.Content) == 0) {
				say("%s has content: %v", status, len(res.Content) > 0)
			}
		case foreign:
		case len(res.Content) != 1 || res.Content["application/problem+json"].Schema.Ref != "#/components/schemas/Problem":
			say("%s is no problem document", status)
		}
		if !exampled(&res) {
			say("%s has no example", status)
		}
	}
	if good == 0 {
		say("has no success")
	}
	if _, ok := op.Responses["500"]; !ok {
		say("has no 500")
	}
	if method != "get" {
		for _, s := range []string{"400", "403", "413", "415", "422"} {
			if _, ok := op.Responses[s]; !ok {
				say("takes a body or a cookie and has no %s", s)
			}
		}
	}
}

func exampled(c *styleContent) bool {
	for _, m := range c.Content {
		if m.Example == nil && len(m.Examples) == 0 {
			return false
		}
	}
	return true
}

// pageProblems wants one shape of pages: before and a bounded limit go in, a
// named list and next come out.
func pageProblems(say func(string, ...any), method string, op *styleOp, doc *styleDoc) {
	if method != "get" || !strings.HasPrefix(op.OperationID, "list-") {
		return
	}
	in := map[string]styleParam{}
	for _, p := range op.Parameters {
		in[p.Name] = p
	}
	for _, word := range []string{"page", "per_page", "offset", "cursor"} {
		if _, ok := in[word]; ok {
			say("pages go by before and limit, not by %s", word)
		}
	}
	ref, _ := strings.CutPrefix(op.Responses["200"].Content["application/json"].Schema.Ref, "#/components/schemas/")
	body := doc.Components.Schemas[ref]
	lists := 0
	for _, p := range body.Properties {
		if p.Items != nil {
			lists++
		}
	}
	if lists != 1 {
		say("a list answers an object with one named list, this has %d", lists)
	}
	if slices.Contains(unpaged, op.OperationID) {
		return
	}
	limit, ok := in["limit"]
	if _, before := in["before"]; !ok || !before || limit.Schema.Maximum == nil || limit.Schema.Default == nil {
		say("a list takes before, and a limit with a default and a maximum")
	}
	if _, ok := body.Properties["next"]; !ok {
		say("a list answers next")
	}
}

func readDoc(t *testing.T, raw []byte) *styleDoc {
	t.Helper()
	var doc styleDoc
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return &doc
}

func TestStyleGuide(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	doc := readDoc(t, f.OpenAPI())
	if len(doc.Paths) < 20 {
		t.Fatalf("only %d paths", len(doc.Paths))
	}
	for _, p := range styleProblems(doc) {
		t.Error(p)
	}
}

// Each rule catches what breaks it, and nothing else is caught.
func TestStyleGuideCatches(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/style.json")
	if err != nil {
		t.Fatal(err)
	}
	got := styleProblems(readDoc(t, raw))
	text := strings.Join(got, "\n")
	lines := strings.Split(strings.TrimSpace(wantStyle), "\n")
	for _, w := range lines {
		if !strings.Contains(text+"\n", strings.TrimSpace(w)+"\n") {
			t.Errorf("not caught: %s", w)
		}
	}
	if len(got) != len(lines) {
		t.Errorf("%d are caught, want %d:\n%s", len(got), len(lines), text)
	}
}

const wantStyle = `
DELETE /lessons/{id}: takes a body or a cookie and has no 415
GET /lesson_plans: the operation id "lessonPlans" is not kebab-case with a verb first
GET /lesson_plans: wants a summary of one line without a full stop, and one tag
GET /lesson_plans: security is declared: false, is public: false
GET /lesson_plans: a GET has no body
GET /lesson_plans: its body has no example
GET /lesson_plans: has no success
GET /lesson_plans: has no 500
GET /lessons: pages go by before and limit, not by page
GET /lessons: a list answers an object with one named list, this has 0
GET /lessons: a list takes before, and a limit with a default and a maximum
GET /lessons: a list answers next
GET /lessons: the parameter page has no example
GET /lessons: needs a sign-in and has no 401
POST /lesson: POST does not answer 302
POST /lesson: 204 has content: true
POST /lesson: 422 is no problem document
POST /lesson: 400 has no example
/lesson: "lesson" is not a plural noun
/lesson_plans: "lesson_plans" is not kebab-case
Lesson.createdBy: names of fields are snake_case
Lesson.made_at: a time is milliseconds since 1970
`
