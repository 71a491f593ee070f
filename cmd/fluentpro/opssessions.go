package main

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/url"
)

const sessionsPath = "/ops/v1/sessions"

func sessionCommands() []*command {
	return []*command{
		{
			name: "list", short: "open connections of a node, or of a learner on all nodes", settings: true,
			setup: func(fs *flag.FlagSet) runner {
				o, v := opsFlags(fs), viewFlags(fs)
				learner := fs.String("learner", "", "those of one `learner`, on all nodes")
				transport := fs.String("transport", "", "only `ws, sse, poll, aisdk or agui`")
				client := fs.String("client", "", "only those that call themselves `name/version`")
				return func(ctx context.Context, c *call) int {
					q := url.Values{}
					for name, value := range map[string]string{"learner": *learner, "transport": *transport, "client": *client} {
						if value != "" {
							q.Set(name, value)
						}
					}
					return showState(ctx, c, o, v, sessionsPath, q)
				}
			},
		},
		{
			name: "show", short: "sessions, subscriptions and connections of a learner", args: "<learner>", nargs: 1, settings: true,
			setup: func(fs *flag.FlagSet) runner {
				o, v := opsFlags(fs), viewFlags(fs)
				return func(ctx context.Context, c *call) int {
					return showState(ctx, c, o, v, sessionsPath+"/"+url.PathEscape(c.args[0]), nil)
				}
			},
		},
		{
			name: "kick", short: "end connections of a learner on all nodes", args: "<learner>", nargs: 1, settings: true,
			long: "Clients do not come back by themselves, but it is no ban: one that connects anew is let in. To keep\nsomebody out, end the login.",
			setup: func(fs *flag.FlagSet) runner {
				o, v := opsFlags(fs), viewFlags(fs)
				session := fs.String("session", "", "only those of one `session`, as show names it")
				conn := fs.String("connection", "", "only one `connection`")
				return func(ctx context.Context, c *call) int {
					q := url.Values{}
					if *session != "" {
						q.Set("session", *session)
					}
					if *conn != "" {
						q.Set("connection", *conn)
					}
					return o.act(ctx, c, v, c.args[0], "kick", q, nil)
				}
			},
		},
		{
			name: "notify", short: "tell all connected devices of a learner something", args: "<learner>", nargs: 1, settings: true,
			setup: func(fs *flag.FlagSet) runner {
				o, v := opsFlags(fs), viewFlags(fs)
				code := fs.String("code", "message", "what it is about, for programs: `a-z 0-9 _`")
				message := fs.String("message", "", "`text` for people")
				return func(ctx context.Context, c *call) int {
					if *message == "" {
						return c.fail(exitUsage, "--message must say something")
					}
					raw, err := json.Marshal(map[string]string{"code": *code, "message": *message})
					if err != nil { // strings always marshal
						return c.fail(exitFailure, "%v", err)
					}
					return o.act(ctx, c, v, c.args[0], "notify", nil, raw)
				}
			},
		},
	}
}

// act asks for something to be done about a learner.
func (o opsTarget) act(ctx context.Context, c *call, v view, learner, verb string, q url.Values, send []byte) int {
	path := sessionsPath + "/" + url.PathEscape(learner) + "/" + verb
	body, code := o.ask(ctx, c, http.MethodPost, path, q, send)
	if code != exitOK {
		return code
	}
	return o.show(c, v, path, body)
}

const findingsPath = "/ops/v1/findings"

func findingsCommand() *command {
	return &command{
		name: "findings", short: "settings of Redis and SQL that endanger data, looked at anew", settings: true,
		setup: func(fs *flag.FlagSet) runner {
			o, v := opsFlags(fs), viewFlags(fs)
			return func(ctx context.Context, c *call) int { return showState(ctx, c, o, v, findingsPath, nil) }
		},
	}
}
