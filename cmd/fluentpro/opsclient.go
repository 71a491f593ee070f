package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/configs"
)

// opsTarget is where an ops command asks, and how.
type opsTarget struct {
	url     *string
	timeout *time.Duration
	format  *string
}

func opsFlags(fs *flag.FlagSet) opsTarget {
	return opsTarget{
		url:     fs.String("url", "", "`address` of a node's operators' listener [http:// and the configured ops.listen]"),
		timeout: fs.Duration("timeout", 10*time.Second, "how long to wait"),
		format:  outputFlag(fs, "table", "table", "json"),
	}
}

// maxAnswer bounds what is read from a server.
const maxAnswer = 32 << 20

// get asks one path and returns the JSON answer. On failure it has told why
// and code is not 0.
func (o opsTarget) get(ctx context.Context, c *call, path string, query url.Values) (body []byte, code int) {
	return o.ask(ctx, c, http.MethodGet, path, query, nil)
}

// ask is get by another method, with a JSON body unless send is nil.
func (o opsTarget) ask(ctx context.Context, c *call, method, path string, query url.Values, send []byte) (body []byte, code int) {
	cfg, ok := c.config()
	if !ok {
		return nil, exitUsage
	}
	base := strings.TrimRight(*o.url, "/")
	if base == "" {
		if cfg.Ops.Listen == configs.Off {
			return nil, o.failed(c, exitUsage, "usage", "this configuration has no operators' listener; name one with --url")
		}
		base = "http://" + dialable(cfg.Ops.Listen)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	ctx, cancel := context.WithTimeout(ctx, *o.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(send))
	if err != nil {
		return nil, o.failed(c, exitUsage, "usage", "--url is not an address: "+err.Error())
	}
	if t := cfg.Ops.Token.Reveal(); t != "" {
		req.Header.Set("Authorization", "Bearer "+t)
	}
	client := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment},
		// A redirect could carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, o.unreachable(c, base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, o.unreachable(c, base, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, o.refused(c, resp.StatusCode, body)
	}
	if !json.Valid(body) {
		return nil, o.failed(c, exitFailure, "bad_answer", base+" does not answer with JSON; is that the operators' listener?")
	}
	return body, exitOK
}

func (o opsTarget) unreachable(c *call, base string, err error) int {
	var ne net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) && ne.Timeout() {
		return o.failed(c, exitTimeout, "timeout", fmt.Sprintf("no answer from %s within %v", base, *o.timeout))
	}
	return o.failed(c, exitUnavailable, "unavailable", fmt.Sprintf("cannot reach %s: %v; is the server running, and is this its operators' listener?", base, err))
}

// refused turns a status and a problem document into words and an exit code.
func (o opsTarget) refused(c *call, status int, body []byte) int {
	var p struct{ Code, Title, Detail string }
	_ = json.Unmarshal(body, &p) // another server's page has neither
	msg := strings.TrimSpace(p.Detail)
	if msg == "" {
		msg = strings.TrimSpace(p.Title)
	}
	if msg == "" {
		msg = http.StatusText(status)
	}
	if p.Code == "" {
		p.Code = fmt.Sprintf("http_%d", status)
	}
	if status == http.StatusUnauthorized {
		msg += " (set FLUENTPRO_OPS_TOKEN or FLUENTPRO_OPS_TOKEN_FILE)"
	}
	code, ok := map[int]int{
		400: exitUsage, 422: exitUsage, 401: exitNotAllowed, 403: exitNotAllowed, 404: exitNotFound, 409: exitConflict, 410: exitNotFound,
		429: exitUnavailable, 502: exitUnavailable, 503: exitUnavailable, 408: exitTimeout, 504: exitTimeout,
	}[status]
	if !ok {
		code = exitFailure
	}
	return o.failed(c, code, p.Code, msg)
}

// failed tells a failure on stderr, as JSON where the output is JSON.
func (o opsTarget) failed(c *call, code int, name, msg string) int {
	if *o.format != "json" {
		return c.fail(code, "%s", printable(msg))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(map[string]any{"code": name, "message": msg, "exit_code": code}) // strings and a number always encode
	_, _ = c.stderr.Write(b.Bytes())
	return code
}
