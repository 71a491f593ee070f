package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sort"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/correlation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Prefix is where the API of this version lives.
const Prefix = "/api/v2"

// route describes one operation to add.
type route struct {
	// ID is the operation id: kebab-case, verb first.
	ID, Method, Path, Summary, Tag string
	// Status of success [200].
	Status int
	// Public routes need no sign-in.
	Public bool
	// Role is the least role that may, every learner where it is "".
	Role authentication.Role
	// Fails are the codes this operation may answer besides those that all
	// share (bad_request, internal, ...).
	Fails []fault.Code
	// Request and Response are examples for the document.
	Request, Response any
	Description       string
}

// api is the huma API of one version.
type api struct {
	huma.API
	server   *Server
	group    *gin.RouterGroup
	document []byte
}

func init() {
	// These are package variables of huma, shared by the whole process; they
	// are set before anything can serve. Its defaults show the text of foreign
	// errors and echo rejected values to clients.
	huma.NewError = func(status int, _ string, errs ...error) huma.StatusError {
		return humaError("", status, errs)
	}
	huma.NewErrorWithContext = func(c huma.Context, status int, _ string, errs ...error) huma.StatusError {
		return humaError(correlation.From(c.Context()), status, errs)
	}
	// encoding/json would take "Text" for "text"; the schema must not.
	huma.ValidateStrictCasing = true
	// Lists are never null, in neither direction.
	huma.DefaultArrayNullable = false
}

func (s *Server) newAPI(g *gin.RouterGroup) *api {
	c := huma.DefaultConfig("FluentPro", s.deps.Version)
	// huma's own document routes would sit behind our sign-in, and its $schema
	// links point to routes that are not there.
	c.DocsPath, c.SchemasPath, c.OpenAPIPath, c.CreateHooks = "", "", "", nil
	c.Servers = []*huma.Server{{URL: Prefix}}
	c.Info.Description = "Practise English at work with an AI partner. Errors are problem documents (RFC 9457) with a stable code. The realtime protocol is in docs/protocol.md."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "The access token."},
		"cookie": {Type: "apiKey", In: "cookie", Name: AccessCookie, Description: "The access token of a browser; unsafe methods need our own Origin."},
	}
	c.Components.Schemas.RegisterTypeAlias(rawJSON, anyJSON)
	return &api{API: humagin.NewWithGroup(s.engine, g, c), server: s, group: g}
}

// add registers one JSON operation. Errors of h are turned into problem
// documents here, so that no foreign text can reach a client.
func add[I, O any](a *api, r route, h func(context.Context, *I) (*O, error)) {
	if strings.Contains(r.Path, "{") {
		r.Fails = append(r.Fails[:len(r.Fails):len(r.Fails)], fault.Invalid) // huma checks what stands in the path
	}
	op := a.operation(r)
	op.BodyReadTimeout = -1 // the strict body check has read it already, within its own limit
	huma.Register(a.API, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, a.server.problem(ctx, err).Problem
		}
		return out, nil
	})
	a.examples(r)
}

// operation is r for huma, with its security, errors and sign-in check.
func (a *api) operation(r route) huma.Operation {
	op := huma.Operation{
		OperationID: r.ID, Method: r.Method, Path: r.Path, Summary: r.Summary, Description: r.Description,
		Tags: []string{r.Tag}, DefaultStatus: r.Status, Responses: map[string]*huma.Response{},
	}
	codes := append([]fault.Code{fault.Internal}, r.Fails...)
	if r.Method != http.MethodGet {
		codes = append(codes, fault.BadRequest, fault.Invalid, fault.TooLarge, fault.UnsupportedMedia, fault.ForeignOrigin)
	}
	if !r.Public {
		// The last three are for tokens of another issuer.
		codes = append(codes, fault.Unauthenticated, fault.TokenExpired, fault.AccountDisabled, fault.EmailTaken, fault.DependencyUnavailable)
		op.Security = []map[string][]string{{"bearer": {}}, {"cookie": {}}}
		op.Middlewares = huma.Middlewares{a.signIn(r.Role)}
		if r.Role != "" {
			codes = append(codes, fault.Forbidden)
			op.Description = strings.TrimSpace(op.Description + " For the role " + string(r.Role) + " and above.")
		}
	}
	a.documentErrors(&op, codes)
	return op
}

// signIn lets a request pass only with a good token of a role that may.
func (a *api) signIn(least authentication.Role) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		g := humagin.Unwrap(c)
		err := a.server.authenticate(g.Request)
		if err == nil && least != "" && !authentication.Role(identityOf(g.Request.Context()).Role).May(least) {
			err = fault.New(fault.Forbidden, "Your role does not allow this.")
		}
		if err != nil {
			WriteProblem(g.Writer, g.Request, a.server.problem(g.Request.Context(), err).cause)
			return
		}
		next(c)
	}
}

// problemError is a Problem on its way out, with the fault it was made of.
type problemError struct {
	*Problem
	cause error
}

// problem is err for the client; what the client must not see is logged.
func (s *Server) problem(ctx context.Context, err error) *problemError {
	f := fault.Of(err)
	if spec := fault.SpecOf(f.Code); spec.Status >= 500 {
		s.log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("code", string(f.Code)),
			slog.String("request_id", correlation.From(ctx)), slog.Any("error", err))
	}
	return &problemError{Problem: newProblem(err, correlation.From(ctx)), cause: err}
}

func (a *api) documentErrors(op *huma.Operation, codes []fault.Code) {
	schema := a.OpenAPI().Components.Schemas.Schema(problemReflect, true, "Problem")
	byStatus := map[int][]fault.Code{}
	seen := map[fault.Code]bool{}
	for _, c := range codes {
		if !seen[c] {
			seen[c] = true
			st := fault.SpecOf(c).Status
			byStatus[st] = append(byStatus[st], c)
		}
	}
	for status, cs := range byStatus {
		sort.Slice(cs, func(i, j int) bool { return cs[i] < cs[j] })
		names := make([]string, len(cs))
		examples := map[string]*huma.Example{}
		for i, c := range cs {
			names[i] = string(c)
			p := newProblem(fault.New(c, ""), "4kz1r2cqvm7wd8h3")
			if c == fault.Invalid {
				p.Errors = []fault.Field{{Name: "limit", Code: "too_large", Message: "expected number <= 100"}}
			}
			examples[string(c)] = &huma.Example{Value: p}
		}
		op.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: "One of: " + strings.Join(names, ", "),
			Content: map[string]*huma.MediaType{
				"application/problem+json": {Schema: schema, Examples: examples},
			},
		}
	}
}

// examples puts r's examples into the document.
func (a *api) examples(r route) {
	item := a.OpenAPI().Paths[r.Path]
	op := map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put,
		http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}[r.Method]
	if r.Request != nil && op.RequestBody != nil {
		op.RequestBody.Content["application/json"].Example = r.Request
	}
	status := r.Status
	if status == 0 {
		status = http.StatusOK
	}
	if res := op.Responses[strconv.Itoa(status)]; r.Response != nil && res != nil {
		if m := res.Content["application/json"]; m != nil {
			m.Example = r.Response
		}
	}
}

// paramExamples gives every parameter an example.
func (a *api) paramExamples() {
	for _, item := range a.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				if p.Example == nil { // those shared between servers have one
					p.Example = exampleParams[p.Name]
				}
			}
		}
	}
}

// freeze renders the document and serves it; call it after the last add.
func (a *api) freeze() error {
	// huma cannot say that a reference may be null.
	if st := a.OpenAPI().Components.Schemas.Map()["State"]; st != nil {
		st.Properties["open"] = &huma.Schema{OneOf: []*huma.Schema{st.Properties["open"], {Type: "null"}}}
	}
	a.paramExamples()
	raw, err := json.MarshalIndent(a.OpenAPI(), "", "  ")
	if err != nil {
		return fmt.Errorf("render the OpenAPI document: %w", err)
	}
	a.document = append(raw, '\n')
	a.group.GET("/openapi.json", func(c *gin.Context) {
		c.Data(http.StatusOK, "application/json", a.document)
	})
	return nil
}
