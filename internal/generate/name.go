package generate

import (
	"fmt"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strings"
)

// Name is a domain's name in the forms that the templates need.
type Name struct {
	// Package is one word: studyplans. Type is one of them: StudyPlan.
	Package, Type string
	// Human and Humans are for sentences: study plan, study plans.
	Human, Humans string
	// Kind is the aggregate's name in events: study_plan.
	Kind string
	// Table is the SQL table: study_plan_items.
	Table string
}

// longest keeps names of tables and events within what Postgres takes.
const longest = 40

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9]*([-_][a-z0-9]+)*$`)

// taken are words that cannot be a package of a domain, with the reason.
var taken = func() map[string]string {
	m := map[string]string{}
	add := func(why string, words ...string) {
		for _, w := range words {
			m[w] = why
		}
	}
	for _, w := range types.Universe.Names() {
		add("is predeclared in Go", w)
	}
	add("would be read as a package of the standard library", strings.Fields(`bufio bytes cmp context crypto embed errors expvar flag fmt go hash
		html image io iter json log maps math mime net os path plugin rand reflect regexp runtime slices sort sql strconv strings structs sync syscall
		testing text time unicode unique unsafe url weak http slog exec filepath template atomic`)...)
	add("says nothing about what is inside", "common", "util", "utils", "helper", "helpers", "models", "types", "misc", "base", "pkg")
	add("means something to the go command", "main", "init", "internal", "vendor", "testdata", "all", "std", "cmd", "tool")
	add("is the name of another file of the module", "dto", "service", "events")
	add("is the name that the module's store knows its domain by", "domain")
	return m
}()

// typesOfModule are the names that every generated module has.
var typesOfModule = []string{"Archived", "Created", "Deleted", "Draft", "ID", "OwnerID", "Record", "Repository", "Service", "Unit", "View",
	"New", "NotFound", "Rehydrate", "DecodeDraft"}

// initialisms are written in capitals, as Go has it.
var initialisms = map[string]string{"api": "API", "css": "CSS", "dns": "DNS", "html": "HTML", "http": "HTTP", "https": "HTTPS", "id": "ID", "ip": "IP",
	"json": "JSON", "sql": "SQL", "ssh": "SSH", "tcp": "TCP", "tls": "TLS", "ui": "UI", "uid": "UID", "uri": "URI", "url": "URL", "uuid": "UUID", "xml": "XML"}

// ParseName reads a name: lower-case words of letters and digits, joined by -
// or _. The error says what is wrong with it and what would do.
func ParseName(s string) (Name, error) {
	if !nameForm.MatchString(s) {
		return Name{}, fmt.Errorf("%q cannot name a domain: write lower-case words of a-z and 0-9, beginning with a letter, with - between them, like study-plan", s)
	}
	if len(s) > longest {
		return Name{}, fmt.Errorf("%q cannot name a domain: it has more than %d characters", s, longest)
	}
	words := strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == '_' })
	n := Name{Package: strings.Join(words, "")}
	if token.IsKeyword(n.Package) {
		return Name{}, fmt.Errorf("%q cannot name a domain: %s is a keyword of Go", s, n.Package)
	}
	if why, ok := taken[n.Package]; ok {
		return Name{}, fmt.Errorf("%q cannot name a domain: %s %s", s, n.Package, why)
	}
	if strings.HasSuffix(n.Package, "test") && len(words) > 1 && words[len(words)-1] == "test" {
		return Name{}, fmt.Errorf("%q cannot name a domain: a package that ends in test is read as test support", s)
	}
	one := slices.Clone(words)
	one[len(one)-1] = singular(one[len(one)-1])
	for _, w := range one {
		if up, ok := initialisms[w]; ok {
			n.Type += up
		} else {
			n.Type += strings.ToUpper(w[:1]) + w[1:]
		}
	}
	if slices.Contains(typesOfModule, n.Type) || strings.HasPrefix(n.Type, "New") && slices.Contains(typesOfModule, n.Type[3:]) {
		return Name{}, fmt.Errorf("%q cannot name a domain: every module has a %s of its own", s, n.Type)
	}
	n.Human, n.Kind = strings.Join(one, " "), strings.Join(one, "_")
	many := slices.Clone(one)
	many[len(many)-1] = plural(many[len(many)-1])
	n.Humans = strings.Join(many, " ")
	n.Table = n.Kind + "_items" // so that it is neither reserved nor another's
	return n, nil
}

// singular makes invoice of invoices and leaves analysis, status and glass.
func singular(w string) string {
	switch {
	case len(w) > 4 && strings.HasSuffix(w, "ies") && w != "series" && w != "species":
		return strings.TrimSuffix(w, "ies") + "y"
	case hasAny(w, "sses", "xes", "ches", "shes", "zzes"):
		return strings.TrimSuffix(w, "es")
	case len(w) > 3 && strings.HasSuffix(w, "s") && !hasAny(w, "ss", "us", "is", "news", "series", "species"):
		return strings.TrimSuffix(w, "s")
	}
	return w
}

func plural(w string) string {
	switch {
	case w == "series" || w == "species" || w == "news":
		return w
	case strings.HasSuffix(w, "y") && len(w) > 1 && !strings.ContainsRune("aeiou", rune(w[len(w)-2])):
		return strings.TrimSuffix(w, "y") + "ies"
	case strings.HasSuffix(w, "sis"):
		return strings.TrimSuffix(w, "is") + "es"
	case hasAny(w, "s", "x", "ch", "sh", "z"):
		return w + "es"
	}
	return w + "s"
}

func hasAny(w string, ends ...string) bool {
	return slices.ContainsFunc(ends, func(e string) bool { return strings.HasSuffix(w, e) })
}
