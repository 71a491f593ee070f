// Package postman makes a Postman collection (v2.1) from the OpenAPI document.
//
// The collection has two parts. The journey is the way of a new learner from
// sign-up to the first message: its requests stand in order, take what they
// need from the answers before them and must succeed. Behind it stands every
// operation of the document by its tag, with its example; those must be
// answered as documented, whatever the answer is.
package postman

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// schemaURL names the format of the collection.
const schemaURL = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

// Collection is a Postman collection.
type Collection struct {
	Info     Info       `json:"info"`
	Auth     *Auth      `json:"auth"`
	Variable []Variable `json:"variable"`
	Item     []Item     `json:"item"`
}

// Info names a collection and its format.
type Info struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Schema      string `json:"schema"`
}

// Variable is a variable of the collection, or one of a path.
type Variable struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Auth says how requests are signed in.
type Auth struct {
	Type   string          `json:"type"`
	Bearer []authParameter `json:"bearer,omitempty"`
}

type authParameter struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Type  string `json:"type"`
}

// Item is a request, or a folder when it has items.
type Item struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Item        []Item   `json:"item,omitempty"`
	Request     *Request `json:"request,omitempty"`
	Event       []Event  `json:"event,omitempty"`
}

// Request is one request.
type Request struct {
	Method      string     `json:"method"`
	Description string     `json:"description,omitempty"`
	Auth        *Auth      `json:"auth,omitempty"`
	Header      []Variable `json:"header"`
	Body        *Body      `json:"body,omitempty"`
	URL         URL        `json:"url"`
}

// Body is a JSON body.
type Body struct {
	Mode    string `json:"mode"`
	Raw     string `json:"raw"`
	Options any    `json:"options"`
}

// URL is an address in parts.
type URL struct {
	Raw      string       `json:"raw"`
	Host     []string     `json:"host"`
	Path     []string     `json:"path"`
	Query    []queryParam `json:"query,omitempty"`
	Variable []Variable   `json:"variable,omitempty"`
}

type queryParam struct {
	Key      string `json:"key"`
	Value    string `json:"value"`
	Disabled bool   `json:"disabled"`
}

// Event is a script that runs before a request or after its answer.
type Event struct {
	Listen string `json:"listen"`
	Script Script `json:"script"`
}

// Script is JavaScript by lines.
type Script struct {
	Type string   `json:"type"`
	Exec []string `json:"exec"`
}

// document is what is read of an OpenAPI document.
type document struct {
	Info struct {
		Title       string `json:"title"`
		Description string `json:"description"`
	} `json:"info"`
	Servers []server                         `json:"servers"`
	Paths   map[string]map[string]*operation `json:"paths"`
}

type server struct {
	URL string `json:"url"`
}

type operation struct {
	method, path string
	ID           string   `json:"operationId"`
	Summary      string   `json:"summary"`
	Description  string   `json:"description"`
	Tags         []string `json:"tags"`
	Security     []any    `json:"security"`
	Servers      []server `json:"servers"`
	Parameters   []struct {
		Name, In, Description string
		Example               any
	} `json:"parameters"`
	RequestBody *struct {
		Content map[string]struct {
			Example json.RawMessage `json:"example"`
		} `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Content map[string]json.RawMessage `json:"content"`
	} `json:"responses"`
}

// Generate makes the collection of an OpenAPI document, as indented JSON. The
// same document makes the same collection.
func Generate(openapi []byte) ([]byte, error) {
	var doc document
	if err := json.Unmarshal(openapi, &doc); err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	byID := map[string]*operation{}
	byTag := map[string][]*operation{}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			op := doc.Paths[path][method]
			op.method, op.path = strings.ToUpper(method), path
			if len(op.Servers) == 0 {
				op.Servers = doc.Servers
			}
			if len(op.Servers) == 0 || len(op.Tags) == 0 {
				return nil, fmt.Errorf("%s has no server or no tag", op.ID)
			}
			byID[op.ID] = op
			byTag[op.Tags[0]] = append(byTag[op.Tags[0]], op)
		}
	}
	c := Collection{
		Info: Info{Name: doc.Info.Title + " API", Description: doc.Info.Description + "\n\nMade from the OpenAPI document. " +
			"Run the journey first: it signs a new learner up and fills the variables.", Schema: schemaURL},
		Auth:     &Auth{Type: "bearer", Bearer: []authParameter{{"token", "{{access_token}}", "string"}}},
		Variable: variables,
	}
	first, err := journeyFolder(byID)
	if err != nil {
		return nil, err
	}
	c.Item = append(c.Item, first)
	for _, tag := range slices.Sorted(maps.Keys(byTag)) {
		folder := Item{Name: tag}
		for _, op := range byTag[tag] {
			item := op.item(nil)
			item.Event = []Event{test(op.declared())}
			folder.Item = append(folder.Item, item)
		}
		c.Item = append(c.Item, folder)
	}
	raw, err := json.MarshalIndent(c, "", "  ")
	return append(raw, '\n'), err
}

// item is the request of an operation; body, when not nil, takes the place of
// the example's.
func (op *operation) item(body any) Item {
	r := &Request{Method: op.method, Description: strings.TrimSpace(op.Summary + ".\n\n" + op.Description), Header: []Variable{}}
	if len(op.Security) == 0 {
		r.Auth = &Auth{Type: "noauth"}
	}
	base := strings.TrimSuffix(op.Servers[0].URL, "/")
	var segments []string
	for _, s := range strings.Split(strings.Trim(base+op.path, "/"), "/") {
		if strings.HasPrefix(s, "{") {
			s = ":" + strings.Trim(s, "{}")
		}
		segments = append(segments, s)
	}
	r.URL = URL{Host: []string{"{{base_url}}"}, Path: segments, Raw: "{{base_url}}/" + strings.Join(segments, "/")}
	for _, p := range op.Parameters {
		value := fmt.Sprint(p.Example)
		switch p.In {
		case "path":
			if id := op.thing(); id != "" && p.Name == "id" {
				value = id
			}
			r.URL.Variable = append(r.URL.Variable, Variable{p.Name, value})
		case "query":
			r.URL.Query = append(r.URL.Query, queryParam{p.Name, value, true})
		}
	}
	if op.RequestBody != nil {
		raw := op.RequestBody.Content["application/json"].Example
		if body != nil {
			raw, _ = json.Marshal(body) // maps of texts always marshal
		}
		r.Header = append(r.Header, Variable{"Content-Type", "application/json"})
		r.Body = &Body{Mode: "raw", Raw: indented(raw), Options: map[string]any{"raw": map[string]any{"language": "json"}}}
	}
	return Item{Name: op.Summary, Request: r}
}

func indented(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return string(raw)
	}
	return string(b)
}

// thing is the variable for the id of a path. A stream keeps the id of the
// example, which does not exist: a runner would wait for its end for ever.
func (op *operation) thing() string {
	for _, r := range op.Responses {
		if _, stream := r.Content["text/event-stream"]; stream {
			return ""
		}
	}
	for prefix, id := range map[string]string{"/conversations/": "{{conversation_id}}", "/api/chat/": "{{conversation_id}}",
		"/scenarios/": "{{scenario_id}}", "/scenario-requests/": "{{request_id}}"} {
		if strings.HasPrefix(op.path, prefix) {
			return id
		}
	}
	return ""
}

// declared are the lines that hold an answer to the document.
func (op *operation) declared() []string {
	var statuses []string
	for _, s := range slices.Sorted(maps.Keys(op.Responses)) {
		if n, err := strconv.Atoi(s); err == nil {
			statuses = append(statuses, strconv.Itoa(n))
		}
	}
	return []string{
		"pm.test('the answer is documented and no 500', () => {",
		"  pm.expect([" + strings.Join(statuses, ", ") + "]).to.include(pm.response.code);",
		"  pm.expect(pm.response.code).to.not.equal(500);",
		"});",
		"if (pm.response.code >= 400) pm.test('an error has its code', () => { pm.expect(pm.response.json().code).to.be.a('string'); });",
	}
}

func test(lines []string) Event {
	return Event{Listen: "test", Script: Script{Type: "text/javascript", Exec: lines}}
}
