package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden file of versions that have none")

// sample fills every field, so that a golden file leaves none out.
func sample(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte(`{"x":1}`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		sample(v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			sample(v.Field(i))
		}
	default:
		panic("no sample for " + v.Type().String())
	}
}

func golden(d Definition, version int) string {
	return filepath.Join("testdata", d.Type+".v"+strconv.Itoa(version)+".json")
}

func TestEveryVersionHasItsGoldenFile(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, d := range Catalogue {
		if known[d.Type] {
			t.Errorf("%s stands twice in the catalogue", d.Type)
		}
		known[d.Type] = true
		if !strings.HasPrefix(d.Type, d.Kind+".") {
			t.Errorf("%s happens to a %s", d.Type, d.Kind)
		}
		for version := 1; version <= d.Version; version++ {
			known[golden(d, version)] = true
			t.Run(fmt.Sprintf("%s.v%d", d.Type, version), func(t *testing.T) { checkGolden(t, d, version) })
		}
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !known[f] {
			t.Errorf("%s belongs to no type: a type that was written once must stay readable", f)
		}
	}
}

func checkGolden(t *testing.T, d Definition, version int) {
	file := golden(d, version)
	want, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) && *update && version == d.Version {
		v := reflect.New(d.payload)
		sample(v.Elem())
		if want, err = json.MarshalIndent(v.Interface(), "", "  "); err == nil {
			want = append(want, '\n')
			err = os.WriteFile(file, want, 0o600)
		}
	}
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	v := reflect.New(d.payload)
	if err := d.decode(Event{Type: d.Type, Version: version, Data: want}, v.Interface()); err != nil {
		t.Fatal(err)
	}
	if version < d.Version {
		return // readable is all that is asked of what nobody writes any more
	}
	full := reflect.New(d.payload)
	sample(full.Elem())
	for _, p := range []reflect.Value{v, full} {
		got, err := json.MarshalIndent(p.Interface(), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(append(got, '\n'), want) {
			t.Errorf("version %d is written as\n%s, its golden file has\n%s\na changed shape is a new version", version, got, want)
		}
	}
}

// TestCatalogueIsWhole finds the payloads in the source.
func TestCatalogueIsWhole(t *testing.T) {
	t.Parallel()
	inCatalogue := map[string]bool{}
	for _, d := range Catalogue {
		inCatalogue[d.payload.Name()] = true
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || fn.Name.Name != "EventType" {
				continue
			}
			found++
			if id, ok := fn.Recv.List[0].Type.(*ast.Ident); !ok || !inCatalogue[id.Name] {
				t.Errorf("%s: a payload is not in the catalogue: %v", name, fn.Recv.List[0].Type)
			}
		}
	}
	if found != len(Catalogue) {
		t.Errorf("found %d payloads, the catalogue has %d", found, len(Catalogue))
	}
}

// renamed is a payload that has changed twice.
type renamed struct {
	Name string `json:"name"`
	By   string `json:"by"`
}

func (renamed) EventType() (string, int) { return "thing.renamed", 3 }
func (renamed) Of() Aggregate            { return Aggregate{Kind: "thing", ID: "1"} }

func TestOldVersionsAreReadable(t *testing.T) {
	t.Parallel()
	d := define[renamed](
		func(b json.RawMessage) (json.RawMessage, error) { // 1 had "title"
			return bytes.ReplaceAll(b, []byte("title"), []byte("name")), nil
		},
		func(b json.RawMessage) (json.RawMessage, error) { // 2 did not say by whom
			var m map[string]string
			if err := json.Unmarshal(b, &m); err != nil {
				return nil, err
			}
			m["by"] = "unknown"
			return json.Marshal(m)
		})
	for version, data := range map[int]string{1: `{"title":"a"}`, 2: `{"name":"a"}`, 3: `{"name":"a","by":"unknown"}`} {
		var p renamed
		if err := d.decode(Event{Type: d.Type, Version: version, Data: json.RawMessage(data)}, &p); err != nil || p != (renamed{"a", "unknown"}) {
			t.Errorf("version %d: got %+v, %v", version, p, err)
		}
	}
	for name, e := range map[string]Event{
		"newer than this build": {Version: 4, Data: json.RawMessage(`{}`)},
		"no version":            {Data: json.RawMessage(`{}`)},
		"damaged":               {Version: 2, Data: json.RawMessage(`[]`)},
	} {
		if err := d.decode(e, &renamed{}); !errors.Is(err, ErrEvent) {
			t.Errorf("%s: got %v, want ErrEvent", name, err)
		}
	}
	if err := d.decode(Event{Version: 3, Data: json.RawMessage("null")}, &renamed{}); !errors.Is(err, ErrErased) {
		t.Errorf("got %v, want ErrErased", err)
	}
}

func TestDecodeRefusesAnotherType(t *testing.T) {
	t.Parallel()
	e := New("", LearnerRegistered{LearnerID: "a"})
	if p, err := Decode[LearnerRegistered](e); err != nil || p.LearnerID != "a" {
		t.Fatalf("got %+v, %v", p, err)
	}
	if _, err := Decode[EmailVerified](e); !errors.Is(err, ErrEvent) {
		t.Fatalf("got %v, want ErrEvent", err)
	}
	if _, err := Decode[renamed](Event{Type: "thing.renamed", Version: 3}); !errors.Is(err, ErrEvent) {
		t.Fatalf("got %v, want ErrEvent", err)
	}
}
