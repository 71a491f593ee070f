package configs

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"
)

//go:embed development.yaml test.yaml staging.yaml production.yaml
var profiles embed.FS

// maxFile bounds a configuration file: a wrong path must not eat the memory.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return nil, cause(err)
	}
	if st.IsDir() {
		return nil, errors.New("is a directory, not a file")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, cause(err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("is larger than %d bytes", maxFile)
	}
	return b, nil
}

// cause leaves the path out of a file error: our messages name it already.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// setting is one value of a source, still text.
type setting struct{ key, text, origin string }

// parseYAML flattens a document into settings; known are the keys there are.
// Aliases are refused, so a small file cannot unfold into a large one.
func parseYAML(name string, data []byte, known []string) (out []setting, problems []Problem) {
	bad := func(line int, key, format string, args ...any) {
		problems = append(problems, Problem{Name: key, Origin: fmt.Sprintf("%s:%d", name, line), Message: fmt.Sprintf(format, args...)})
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) {
			problems = append(problems, Problem{Name: name, Message: "is not readable YAML: " + err.Error()})
		}
		return nil, problems
	}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		bad(1, name, "holds more than one YAML document")
	}
	groups := map[string]bool{}
	for _, k := range known {
		for i, r := range k {
			if r == '.' {
				groups[k[:i]] = true
			}
		}
	}
	seen := map[string]bool{}
	var visit func(n *yaml.Node, prefix string)
	visit = func(n *yaml.Node, prefix string) {
		if n.Kind != yaml.MappingNode {
			bad(n.Line, prefix, "must be a mapping of keys to values")
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			key := k.Value
			if prefix != "" {
				key = prefix + "." + k.Value
			}
			switch {
			case seen[key]:
				bad(k.Line, key, "stands twice")
				continue
			case groups[key]:
				seen[key] = true
				if v.Tag != "!!null" {
					visit(v, key)
				}
				continue
			case !slices.Contains(known, key):
				bad(k.Line, key, "is not a setting%s", hint(key, known))
				continue
			}
			seen[key] = true
			text, err := scalar(v)
			if err != nil {
				bad(v.Line, key, "%v", err)
				continue
			}
			if v.Tag != "!!null" {
				out = append(out, setting{key, text, fmt.Sprintf("%s:%d", name, k.Line)})
			}
		}
	}
	if root := doc.Content[0]; root.Tag != "!!null" {
		visit(root, "")
	}
	return out, problems
}

func scalar(n *yaml.Node) (string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value, nil
	case yaml.SequenceNode:
		var b bytes.Buffer
		for i, e := range n.Content {
			if e.Kind != yaml.ScalarNode || bytes.ContainsRune([]byte(e.Value), ',') {
				return "", errors.New("must be a list of plain values without commas")
			}
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(e.Value)
		}
		return b.String(), nil
	case yaml.AliasNode:
		return "", errors.New("uses a YAML alias, which is not supported here")
	default:
		return "", errors.New("must be a plain value")
	}
}
