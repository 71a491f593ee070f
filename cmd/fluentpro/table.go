package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// doc is a JSON object that keeps the order of its members, so that a table
// shows what the server thinks important first, and new members appear
// without a new client.
type doc []member

type member struct {
	name  string
	value any // doc, []any, json.Number, string, bool, nil
}

func parseDoc(data []byte) (doc, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := parseValue(dec, 0)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case doc:
		return v, nil
	case []any:
		return doc{{"items", v}}, nil
	}
	return nil, fmt.Errorf("the answer is neither an object nor a list")
}

func parseValue(dec *json.Decoder, depth int) (any, error) {
	if depth > 32 {
		return nil, fmt.Errorf("the answer is nested too deep")
	}
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return tok, nil
	}
	obj, list := doc{}, []any{}
	for dec.More() {
		name := ""
		if delim == '{' {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			name, _ = key.(string)
		}
		v, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		obj, list = append(obj, member{name, v}), append(list, v)
	}
	if _, err := dec.Token(); err != nil { // the closing delimiter
		return nil, err
	}
	if delim == '{' {
		return obj, nil
	}
	return list, nil
}

// rows is the first list of objects in the answer.
func (d doc) rows() ([]doc, bool) {
	for _, m := range d {
		list, ok := m.value.([]any)
		if !ok {
			continue
		}
		rows := make([]doc, 0, len(list))
		for _, e := range list {
			if row, ok := e.(doc); ok {
				rows = append(rows, row)
			}
		}
		if len(rows) == len(list) {
			return rows, true
		}
	}
	return nil, false
}

// notes prints what stands beside the rows: the next cursor, what could not be
// asked.
func (d doc) notes(w io.Writer) {
	seen := false
	for _, m := range d {
		if _, list := m.value.([]any); list && !seen {
			seen = true // the rows
			continue
		}
		items, isList := m.value.([]any)
		if !isList {
			items = []any{m.value}
		}
		for _, item := range items { // a line each
			var line []string
			for _, kv := range flatten(m.name, item, 3) {
				switch name, inner := strings.CutPrefix(kv[0], m.name+"."); {
				case kv[1] == "":
				case inner:
					line = append(line, name+"="+kv[1])
				default:
					line = append(line, kv[1])
				}
			}
			if len(line) > 0 {
				_, _ = fmt.Fprintf(w, "%s: %s\n", m.name, strings.Join(line, " "))
			}
		}
	}
}

// table prints docs for people.
type table struct{ headers, color bool }

// list prints one line per row. Columns are those of all rows in order of
// appearance; what is nested deeper than one level is left to detail.
func (t table) list(w io.Writer, rows []doc) {
	var cols []string
	at := map[string]int{}
	cells := make([]map[string]string, len(rows))
	for i, r := range rows {
		cells[i] = map[string]string{}
		for _, m := range r {
			for _, kv := range flatten(m.name, m.value, 1) {
				if _, ok := at[kv[0]]; !ok {
					at[kv[0]] = len(cols)
					cols = append(cols, kv[0])
				}
				cells[i][kv[0]] = kv[1]
			}
		}
	}
	if len(rows) == 0 {
		return
	}
	var b bytes.Buffer
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if t.headers {
		_, _ = fmt.Fprintln(tw, strings.ToUpper(strings.Join(cols, "\t")))
	}
	for _, row := range cells {
		line := make([]string, len(cols))
		for j, c := range cols {
			line[j] = orDash(row[c])
		}
		_, _ = fmt.Fprintln(tw, strings.Join(line, "\t"))
	}
	_ = tw.Flush()
	for i, line := range strings.Split(strings.TrimRight(b.String(), "\n"), "\n") {
		line = strings.TrimRight(line, " ")
		row := i
		if t.headers {
			row--
		}
		switch {
		case !t.color:
		case row < 0:
			line = "\x1b[1m" + line + "\x1b[0m"
		case row < len(cells) && cells[row]["anomalies"] != "" && cells[row]["anomalies"] != "-":
			line = "\x1b[31m" + line + "\x1b[0m"
		}
		_, _ = fmt.Fprintln(w, line)
	}
}

// detail prints one object, a member a line.
func (t table) detail(w io.Writer, d doc) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range d {
		for _, kv := range flatten(m.name, m.value, 8) {
			_, _ = fmt.Fprintf(tw, "%s\t%s\n", kv[0], orDash(kv[1]))
		}
	}
	_ = tw.Flush()
}

// flatten names what is inside a value with dots and indexes, down to depth;
// below that an object or list of objects is only counted.
func flatten(name string, v any, depth int) [][2]string {
	switch v := v.(type) {
	case doc:
		if depth == 0 {
			return [][2]string{{name, fmt.Sprintf("{%d}", len(v))}}
		}
		var out [][2]string
		for _, m := range v {
			out = append(out, flatten(name+"."+m.name, m.value, depth-1)...)
		}
		return out
	case []any:
		return flattenList(name, v, depth)
	case nil:
		return [][2]string{{name, ""}}
	case bool:
		if v {
			return [][2]string{{name, "yes"}}
		}
		return [][2]string{{name, "no"}}
	case json.Number:
		return [][2]string{{name, rounded(v)}}
	default:
		return [][2]string{{name, printable(fmt.Sprint(v))}}
	}
}

func flattenList(name string, list []any, depth int) [][2]string {
	words := make([]string, 0, len(list))
	var out [][2]string
	for i, e := range list {
		if d, ok := e.(doc); ok && depth <= 1 {
			// In a list of conversations an anomaly is its name.
			for _, m := range d {
				if s, ok := m.value.(string); ok {
					words = append(words, printable(s))
					break
				}
			}
			continue
		}
		switch e.(type) {
		case doc, []any:
			out = append(out, flatten(fmt.Sprintf("%s[%d]", name, i), e, depth-1)...)
		default:
			words = append(words, printable(fmt.Sprint(e)))
		}
	}
	if len(out) > 0 {
		return out
	}
	return [][2]string{{name, strings.Join(words, ",")}}
}

// rounded spares people the digits of binary fractions.
func rounded(n json.Number) string {
	if _, frac, ok := strings.Cut(n.String(), "."); ok && len(frac) > 3 {
		if f, err := n.Float64(); err == nil {
			return strconv.FormatFloat(math.Round(f*1000)/1000, 'f', -1, 64)
		}
	}
	return printable(n.String())
}

// printable keeps control characters of others from a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}
