package web

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, h http.Handler, target string, header ...string) *http.Response {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.URL.Path = target // as a client may write it, not as NewRequest would clean it
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPaths(t *testing.T) {
	t.Parallel()
	s, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	at := "/assets/" + s.version
	const year, check = "public, max-age=31536000, immutable", "no-cache"
	for _, c := range []struct {
		path        string
		status      int
		contentType string
		cache       string
	}{
		{"/", 200, "text/html; charset=utf-8", check},
		{at + "/app/main.js", 200, "text/javascript; charset=utf-8", year},
		{at + "/app/app.css", 200, "text/css; charset=utf-8", year},
		{at + "/app/icon.svg", 200, "image/svg+xml", year},
		{at + "/client/src/index.js", 200, "text/javascript; charset=utf-8", year},
		{at + "/vendor/preact.js", 200, "text/javascript; charset=utf-8", year},
		{at + "/vendor/LICENSE.htm", 200, "text/plain; charset=utf-8", year},
		{"/assets/0123456789abcdef/app/main.js", 200, "text/javascript; charset=utf-8", check},
		{"/api/docs", 200, "text/html; charset=utf-8", check},
		{"/api/docs/", 200, "text/html; charset=utf-8", check},
		{"/api/docs/x", 404, "", ""},
		{at + "/docs/docs.js", 200, "text/javascript; charset=utf-8", year},
		{"/index.html", 404, "", ""},
		{"/nowhere", 404, "", ""},
		{"/favicon.ico", 404, "", ""},
		{"/assets", 404, "", ""},
		{"/assets/", 404, "", ""},
		{at, 404, "", ""},
		{at + "/", 404, "", ""},
		{at + "/app", 404, "", ""},
		{at + "/app/", 404, "", ""},
		{at + "/app/index.html", 404, "", ""},
		{at + "/embed.go", 404, "", ""},
		{at + "/../embed.go", 404, "", ""},
		{at + "/app/../../embed.go", 404, "", ""},
		{at + "/app/..%2f..%2fembed.go", 404, "", ""},
		{at + `/app/..\..\embed.go`, 404, "", ""},
		{at + "//etc/passwd", 404, "", ""},
		{at + "/client/package.json", 404, "", ""},
		{at + "/client/test/fakes.js", 404, "", ""},
		{at + "/app/main.js\x00", 404, "", ""},
		{"app/main.js", 404, "", ""},
	} {
		res := get(t, s, c.path)
		if res.StatusCode != c.status {
			t.Errorf("%q: status %d, want %d", c.path, res.StatusCode, c.status)
			continue
		}
		if res.Header.Get("Content-Security-Policy") != Policy || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%q: security headers are missing", c.path)
		}
		if c.status != 200 {
			continue
		}
		if got := res.Header.Get("Content-Type"); got != c.contentType {
			t.Errorf("%q: content type %q, want %q", c.path, got, c.contentType)
		}
		if got := res.Header.Get("Cache-Control"); got != c.cache {
			t.Errorf("%q: cache %q, want %q", c.path, got, c.cache)
		}
		if again := get(t, s, c.path, "If-None-Match", `W/`+res.Header.Get("ETag")); again.StatusCode != 304 {
			t.Errorf("%q: status %d for its own ETag", c.path, again.StatusCode)
		}
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "DELETE": 405, "OPTIONS": 405} {
		rec := httptest.NewRecorder()
		Handler().ServeHTTP(rec, httptest.NewRequest(method, "/", nil))
		if rec.Code != want {
			t.Errorf("%s: %d, want %d", method, rec.Code, want)
		}
		if method == "HEAD" && rec.Body.Len() != 0 {
			t.Error("HEAD has a body")
		}
	}
}

func TestGzip(t *testing.T) {
	t.Parallel()
	s, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	at := "/assets/" + s.version + "/app/app.css"
	plain := body(t, get(t, s, at))
	for header, want := range map[string]bool{
		"": false, "gzip": true, "br, gzip;q=0.8": true, "gzip;q=0": false, "GZIP": true, "identity": false, "gzip; q=0.0": false,
	} {
		res := get(t, s, at, "Accept-Encoding", header)
		if got := res.Header.Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("%q: gzip %v, want %v", header, got, want)
			continue
		}
		if !want {
			continue
		}
		zr, err := gzip.NewReader(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(zr)
		if err != nil || string(b) != plain {
			t.Errorf("%q: the compressed file differs: %v", header, err)
		}
	}
}

var (
	inlineScript = regexp.MustCompile(`(?is)<script(?:\s[^>]*)?>\s*[^<\s]`)
	inlineOther  = regexp.MustCompile(`(?i)<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:`)
	linked       = regexp.MustCompile(`(?:src|href)="([^"]+)"`)
	imported     = regexp.MustCompile(`(?:\bfrom|\bimport)\s*["']([^"']+)["']`)
	dangerous    = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|dangerouslySetInnerHTML`)
)

func TestIndexIsCleanUnderItsPolicy(t *testing.T) {
	t.Parallel()
	h := Handler()
	page := body(t, get(t, h, "/"))
	if inlineScript.MatchString(page) || inlineOther.MatchString(page) {
		t.Error("the page holds inline script or style")
	}
	if strings.Contains(page, "{{") || strings.Contains(page, "<!-- modules -->") {
		t.Error("the page holds an unfilled place")
	}
	links := linked.FindAllStringSubmatch(page, -1)
	if len(links) < 20 {
		t.Errorf("only %d links: modules are not preloaded", len(links))
	}
	for _, l := range links {
		if !strings.HasPrefix(l[1], "/assets/") {
			t.Errorf("%s does not come from here", l[1])
		} else if res := get(t, h, l[1]); res.StatusCode != 200 {
			t.Errorf("%s: status %d", l[1], res.StatusCode)
		}
	}
	for _, bad := range []string{"<script>x()</script>", `<script type="module">x</script>`} {
		if !inlineScript.MatchString(bad) {
			t.Errorf("the check does not see %s", bad)
		}
	}
}

func TestDocsAreCleanUnderTheirPolicy(t *testing.T) {
	t.Parallel()
	page := body(t, get(t, Handler(), "/api/docs"))
	if inlineScript.MatchString(page) || inlineOther.MatchString(page) || strings.Contains(page, "{{") || strings.Contains(page, "//") {
		t.Errorf("inline script or style, an unfilled place, or somebody else's address:\n%s", page)
	}
}

func TestModulesImportOnlyEachOther(t *testing.T) {
	t.Parallel()
	s, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	edges := 0
	for name, a := range s.assets {
		if path.Ext(name) != ".js" {
			continue
		}
		for _, m := range imported.FindAllStringSubmatch(string(a.body), -1) {
			edges++
			if !strings.HasPrefix(m[1], ".") {
				t.Errorf("%s imports %q, which is no relative path", name, m[1])
				continue
			}
			if _, ok := s.assets[path.Join(path.Dir(name), m[1])]; !ok {
				t.Errorf("%s imports %q, which does not exist", name, m[1])
			}
		}
		if !strings.HasPrefix(name, "vendor/") && dangerous.Match(regexp.MustCompile(`(?m)//.*$`).ReplaceAll(a.body, nil)) {
			t.Errorf("%s makes markup or code out of text", name)
		}
	}
	if edges < 40 {
		t.Errorf("only %d imports seen: the check is blind", edges)
	}
}

func TestVendoredFilesAreWhatTheManifestSays(t *testing.T) {
	t.Parallel()
	raw, err := fs.ReadFile(files, "vendor/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Files []struct {
			File, Package, Version, License, Source, SHA256 string
			LicenseFile                                     string `json:"license_file"`
			Upstream                                        string `json:"upstream_sha256"`
		}
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{"manifest.json": true}
	for _, f := range manifest.Files {
		listed[f.File], listed[f.LicenseFile] = true, true
		b, err := fs.ReadFile(files, "vendor/"+f.File)
		if err != nil {
			t.Error(err)
			continue
		}
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:]); got != f.SHA256 {
			t.Errorf("%s: sha256 %s, the manifest says %s", f.File, got, f.SHA256)
		}
		if f.Package == "" || f.Version == "" || f.License == "" || f.Source == "" || len(f.Upstream) != 64 {
			t.Errorf("%s: incomplete row %+v", f.File, f)
		}
		if _, err := fs.ReadFile(files, "vendor/"+f.LicenseFile); err != nil {
			t.Error(err)
		}
	}
	entries, err := fs.ReadDir(files, "vendor")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !listed[e.Name()] {
			t.Errorf("vendor/%s is not in the manifest", e.Name())
		}
	}
}

func TestFromDirReadsAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := HandlerFromDir(dir)
	if res := get(t, h, "/"); res.StatusCode != 500 || strings.Contains(body(t, res), dir) {
		t.Errorf("an empty directory: status %d, or its name is told", res.StatusCode)
	}
	write("app/index.html", "one {{assets}}")
	write("client/src/a.js", "1")
	write("vendor/b.js", "2")
	write("docs/index.html", "docs {{assets}}")
	write("secret.txt", "no")
	first := get(t, h, "/")
	if got := body(t, first); !strings.HasPrefix(got, "one /assets/") || first.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %q, cache %q", got, first.Header.Get("Cache-Control"))
	}
	write("app/index.html", "two")
	if got := body(t, get(t, h, "/")); got != "two" {
		t.Errorf("got %q after a change", got)
	}
	if res := get(t, h, "/assets/x/secret.txt"); res.StatusCode != 404 {
		t.Errorf("a file beside the page: status %d", res.StatusCode)
	}
	write("app/odd.exe", "x")
	if res := get(t, h, "/"); res.StatusCode != 500 {
		t.Errorf("an unknown kind of file: status %d", res.StatusCode)
	}
}
