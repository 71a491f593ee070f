package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/correlation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Inspector reads the state of conversations for operators.
type Inspector interface {
	// List is a summary of what the filter names.
	List(ctx context.Context, filter url.Values) (any, error)
	// Get is everything about one conversation.
	Get(ctx context.Context, id string) (any, error)
}

// Calls lists the last calls to the model.
type Calls interface {
	// List is the newest calls that the filter names, without any text.
	List(ctx context.Context, filter url.Values) (any, error)
}

// Findings looks at the settings of the servers that this one relies on.
type Findings interface {
	Findings(ctx context.Context) (any, error)
}

// OpsDeps is what the operations listener calls.
type OpsDeps struct {
	Logger    *slog.Logger
	Inspector Inspector
	// Calls is nil where there are none to list.
	Calls  Calls
	Checks []Check
	// Findings is nil where nothing is looked at.
	Findings Findings
	// Connections is nil where there are none to list.
	Connections Connections
	// Work is nil where there are no jobs and events to steer.
	Work Work
	// Damages lists logs that were found damaged, newest first.
	Damages func(ctx context.Context, limit int) ([]conversation.Damage, error)
	// Gatherer holds the metrics; nil is Prometheus' default.
	Gatherer prometheus.Gatherer
	// Token is asked of everybody who is not on this machine; with an empty
	// one nobody else gets in.
	Token string
}

type ops struct {
	OpsDeps
	digest [sha256.Size]byte
}

// NewOps is the handler of the operations listener, on a mux of its own: it
// shares nothing with the public one, so no route can slip across.
func NewOps(d OpsDeps) http.Handler {
	h, _ := newOps(d)
	return h
}

// opsMux knows its patterns, so that a test can ask each.
type opsMux struct {
	*http.ServeMux
	patterns []string
}

// Handle is ServeMux.Handle.
func (m *opsMux) Handle(pattern string, h http.Handler) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.Handle(pattern, h)
}

// HandleFunc is ServeMux.HandleFunc.
func (m *opsMux) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	m.Handle(pattern, http.HandlerFunc(h))
}

// newOps also returns what only operators may ask.
func newOps(d OpsDeps) (http.Handler, *opsMux) {
	if d.Gatherer == nil {
		d.Gatherer = prometheus.DefaultGatherer
	}
	o := &ops{OpsDeps: d, digest: sha256.Sum256([]byte(d.Token))}
	open, guarded := http.NewServeMux(), &opsMux{ServeMux: http.NewServeMux()}
	// Probes come from balancers and kubelets, which carry no token; they say
	// nothing but a word.
	for _, p := range []string{"GET /livez", "GET /healthz"} {
		open.HandleFunc(p, func(w http.ResponseWriter, _ *http.Request) { serveLive(w) })
	}
	open.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		serveReady(w, r, d.Checks, r.URL.Query().Has("verbose") && o.allowed(r) == nil)
	})
	guarded.Handle("GET /metrics", promhttp.HandlerFor(d.Gatherer, promhttp.HandlerOpts{}))
	guarded.HandleFunc("GET /ops/v1/state", o.list)
	guarded.HandleFunc("GET /ops/v1/state/{conversation}", o.get)
	if d.Calls != nil {
		guarded.HandleFunc("GET /ops/v1/calls", func(w http.ResponseWriter, r *http.Request) {
			v, err := d.Calls.List(r.Context(), r.URL.Query())
			o.answer(w, r, v, err)
		})
	}
	if d.Findings != nil {
		guarded.HandleFunc("GET /ops/v1/findings", func(w http.ResponseWriter, r *http.Request) {
			v, err := d.Findings.Findings(r.Context())
			o.answer(w, r, v, err)
		})
	}
	o.sessionRoutes(guarded)
	o.workRoutes(guarded)
	if d.Damages != nil {
		guarded.HandleFunc("GET /ops/v1/damages", o.damages)
	}
	guarded.HandleFunc("GET /debug/pprof/", pprof.Index)
	guarded.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	guarded.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	guarded.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	guarded.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { WriteProblem(w, r, errNoSuchPath) })
	open.Handle("/", o.guard(guarded))
	return o.named(open), guarded
}

// damages lists what was found damaged.
func (o *ops) damages(w http.ResponseWriter, r *http.Request) {
	limit := 50
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 500 {
			WriteProblem(w, r, fault.New(fault.BadRequest, "limit must be between 1 and 500"))
			return
		}
		limit = n
	}
	list, err := o.Damages(r.Context(), limit)
	if list == nil {
		list = []conversation.Damage{}
	}
	o.answer(w, r, map[string]any{"damages": list}, err)
}

// named gives each request its id.
func (o *ops) named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(headerRequestID)
		if !correlation.Valid(id) {
			id = correlation.New()
		}
		w.Header().Set(headerRequestID, id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r.WithContext(correlation.With(r.Context(), id)))
	})
}

func (o *ops) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := o.allowed(r); err != nil {
			o.Logger.LogAttrs(r.Context(), slog.LevelWarn, "operations request refused",
				slog.String("peer", peerAddr(r).String()), slog.String("request_id", correlation.From(r.Context())))
			WriteProblem(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

var errOperator = fault.New(fault.Unauthenticated, "Send the operator token as a bearer token.")

// allowed lets pass who is on this machine, and who knows the token. A page in
// a browser on this machine could reach us by a name rebound to the loopback
// address: then the Host gives it away.
func (o *ops) allowed(r *http.Request) error {
	if peerAddr(r).IsLoopback() && loopbackHost(r.Host) && r.Header.Get("X-Forwarded-For") == "" &&
		r.Header.Get("Forwarded") == "" && r.Header.Get("Origin") == "" {
		return nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	// Digests have one length, so the comparison tells nothing about the token's.
	got := sha256.Sum256([]byte(token))
	if !ok || o.Token == "" || subtle.ConstantTimeCompare(got[:], o.digest[:]) != 1 {
		return errOperator
	}
	return nil
}

func loopbackHost(host string) bool {
	u, err := url.Parse("http://" + host)
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a.IsLoopback()
}

func (o *ops) list(w http.ResponseWriter, r *http.Request) {
	v, err := o.Inspector.List(r.Context(), r.URL.Query())
	o.answer(w, r, v, err)
}

func (o *ops) get(w http.ResponseWriter, r *http.Request) {
	id, err := conversation.ParseID(r.PathValue("conversation"))
	if err != nil {
		WriteProblem(w, r, err)
		return
	}
	v, err := o.Inspector.Get(r.Context(), string(id))
	o.answer(w, r, v, err)
}

func (o *ops) answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		if f := fault.Of(err); fault.SpecOf(f.Code).Status >= 500 {
			o.Logger.LogAttrs(r.Context(), slog.LevelError, "inspector failed", slog.Any("error", err),
				slog.String("request_id", correlation.From(r.Context())))
		}
		WriteProblem(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}
