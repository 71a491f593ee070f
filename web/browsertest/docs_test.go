package browsertest

import (
	"strings"
	"testing"
	"time"
)

// The page of the API loads without one request to anybody else, shows every
// operation, breaks no rule of its policy, and sends what is tried.
func TestDocs(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]size{"desktop": desktop, "phone": phone} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openBrowser(t, s)
			n := startNode(t, startModel(t, time.Millisecond), model)
			b.open(n.base() + "/api/docs")
			b.until("the operations are shown", `!!document.querySelector("#send-message")`)
			if got := ask[string](b, `document.querySelector("#send-message h3").textContent`); got != "POST /api/v2/conversations/{id}/messages" {
				t.Errorf("got %q", got)
			}
			if got := ask[int](b, `document.querySelectorAll("main section").length`); got < 30 {
				t.Errorf("only %d operations", got)
			}
			if got := ask[int](b, `document.querySelectorAll("main section details pre").length`); got < 200 {
				t.Errorf("only %d examples", got)
			}
			ask[bool](b, `(() => { const f = document.querySelector("#get-server-info form"); f.closest("details").open = true; f.requestSubmit(); return true })()`)
			b.until("what is tried is answered", `document.querySelector("#get-server-info [role=status] pre")?.textContent.includes("embedded") === true`)

			asked := ask[string](b, `performance.getEntriesByType("resource").map((e) => e.name).join("\n")`)
			for _, u := range strings.Split(asked, "\n") {
				if !strings.HasPrefix(u, n.base()+"/") {
					t.Errorf("somebody else was asked: %q", u)
				}
			}
			if strings.Count(asked, "\n") < 5 {
				t.Errorf("too few requests to be true:\n%s", asked)
			}
			if over := ask[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("the page is %d px wider than the window", over)
			}
			b.shots("docs")
			b.clean()
		})
	}
}
