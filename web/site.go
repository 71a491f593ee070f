package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Policy is the Content-Security-Policy of the page: nothing inline, nothing
// foreign, no string that becomes code.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// roots are the directories whose files are served; nothing else of an fs is.
var roots = []string{"app", "client/src", "docs", "vendor"}

var types = map[string]string{
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".json": "application/json",
	"":      "text/plain; charset=utf-8", // licences
}

// gzipFrom is the size from which compressing pays.
const gzipFrom = 1024

// asset is one file in memory.
type asset struct {
	body, gz    []byte
	contentType string
	etag        string
}

// site is everything the page consists of, looked up by exact name: there is
// no path to clean and no directory to list.
type site struct {
	assets map[string]asset
	index  asset
	// docs is the page that shows the API's document.
	docs asset
	// version is the hash of all assets and part of their address, so that a
	// browser may keep them for ever and a new build is a new address, for the
	// relative imports between modules too.
	version string
	live    bool
}

func load(fsys fs.FS) (*site, error) {
	s := &site{assets: map[string]asset{}}
	var names []string
	for _, root := range roots {
		err := fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || path.Ext(name) == ".html" {
				return err
			}
			body, err := fs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			ct, ok := types[ext(name)]
			if !ok {
				return fmt.Errorf("%s: no content type for it", name)
			}
			s.assets[name] = newAsset(body, ct)
			names = append(names, name)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	sum := sha256.New()
	for _, n := range names {
		fmt.Fprintf(sum, "%s %s\n", n, s.assets[n].etag)
	}
	s.version = hex.EncodeToString(sum.Sum(nil))[:16]

	index, err := fs.ReadFile(fsys, "app/index.html")
	if err != nil {
		return nil, err
	}
	page := strings.ReplaceAll(string(index), "{{assets}}", "/assets/"+s.version)
	docs, err := fs.ReadFile(fsys, "docs/index.html")
	if err != nil {
		return nil, err
	}
	s.docs = newAsset(bytes.ReplaceAll(docs, []byte("{{assets}}"), []byte("/assets/"+s.version)), "text/html; charset=utf-8")
	page = strings.Replace(page, "<!-- modules -->", preloads(s.version, names), 1)
	s.index = newAsset([]byte(page), "text/html; charset=utf-8")
	return s, nil
}

// ext is the extension of a served name; LICENSE.preact has none.
func ext(name string) string {
	if strings.HasPrefix(path.Base(name), "LICENSE") {
		return ""
	}
	return path.Ext(name)
}

// preloads lists every module, because each import level would cost a round
// trip otherwise.
func preloads(version string, names []string) string {
	var b strings.Builder
	for _, n := range names {
		if path.Ext(n) == ".js" && !strings.HasPrefix(n, "docs/") {
			fmt.Fprintf(&b, "<link rel=\"modulepreload\" href=\"/assets/%s/%s\">\n", version, html.EscapeString(n))
		}
	}
	return b.String()
}

func newAsset(body []byte, contentType string) asset {
	sum := sha256.Sum256(body)
	a := asset{body: body, contentType: contentType, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	if len(body) >= gzipFrom {
		var buf bytes.Buffer
		zw, _ := gzip.NewWriterLevel(&buf, gzip.BestCompression) // the level is a valid constant
		_, _ = zw.Write(body)                                    // a buffer takes everything
		_ = zw.Close()
		a.gz = buf.Bytes()
	}
	return a
}

// ServeHTTP implements http.Handler.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == "/" {
		s.serve(w, r, s.index, "no-cache")
		return
	}
	if r.URL.Path == "/api/docs" || r.URL.Path == "/api/docs/" {
		s.serve(w, r, s.docs, "no-cache")
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/assets/")
	version, name, _ := strings.Cut(rest, "/")
	a, found := s.assets[name]
	if !ok || !found {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	cache := "public, max-age=31536000, immutable"
	if version != s.version {
		// While nodes of two builds are behind one address, the page of one may
		// ask the other: better a neighbour's file than none, but not for long.
		cache = "no-cache"
	}
	s.serve(w, r, a, cache)
}

func (s *site) serve(w http.ResponseWriter, r *http.Request, a asset, cache string) {
	h := w.Header()
	if s.live {
		cache = "no-store"
	}
	h.Set("Cache-Control", cache)
	h.Set("ETag", a.etag)
	h.Set("Vary", "Accept-Encoding")
	if slices.Contains(matches(r.Header.Get("If-None-Match")), a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.contentType)
	body := a.body
	if a.gz != nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = a.gz
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // the reader may be gone; nobody is left to tell
}

func matches(header string) []string {
	tags := strings.Split(header, ",")
	for i, t := range tags {
		tags[i] = strings.TrimPrefix(strings.TrimSpace(t), "W/")
	}
	return tags
}

// acceptsGzip reads Accept-Encoding as far as gzip is concerned.
func acceptsGzip(header string) bool {
	for _, part := range strings.Split(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			if !ok {
				return true
			}
			f, err := strconv.ParseFloat(q, 64)
			return err == nil && f > 0
		}
	}
	return false
}
