// Package web serves the learner's page: a no-build application, its client
// module and three vendored libraries, all embedded in the binary.
package web

import (
	"embed"
	"net/http"
	"os"
)

//go:embed app client/src docs vendor
var files embed.FS

// Handler serves the embedded page at /, that of the API at /api/docs, and
// their parts under /assets/. Every
// other path is answered 404.
func Handler() http.Handler {
	s, err := load(files)
	if err != nil {
		// The files are part of the binary and a test loads them: only a broken
		// build comes here.
		panic("web: " + err.Error())
	}
	return s
}

// HandlerFromDir serves the page from a checkout's web directory and reads it
// anew for each request, for work on the page itself.
func HandlerFromDir(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := load(os.DirFS(dir))
		if err != nil {
			http.Error(w, "the page cannot be read from its directory", http.StatusInternalServerError)
			return
		}
		s.live = true
		s.ServeHTTP(w, r)
	})
}
