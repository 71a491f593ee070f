package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// child is a process of the benchmark.
type child struct {
	name   string
	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{} // closed when it is reaped
	// base is its address, http://…, ops the one for operators.
	base, ops string
}

// spawn starts a process; its output goes to a file named after it.
func (o *Options) spawn(name, bin string, env []string, args ...string) (*child, error) {
	f, err := os.Create(filepath.Join(o.Dir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{name: name, cmd: exec.Command(bin, args...), log: f, exited: make(chan struct{})} //nolint:noctx // it is ended by stop or kill
	c.cmd.Stdout, c.cmd.Stderr, c.cmd.SysProcAttr = f, f, dieWithParent()
	c.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LANG=C"}, env...)
	if err := c.cmd.Start(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { // ends with the process
		_ = c.cmd.Wait()
		_ = f.Close()
		close(c.exited)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// kill ends it without a word and waits until it is gone.
func (c *child) kill() {
	if c == nil {
		return
	}
	_ = c.cmd.Process.Kill()
	<-c.exited
}

// stop asks it to end and kills it if it does not.
func (c *child) stop() {
	if c == nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(10 * time.Second):
		c.kill()
	}
}

// answers waits until url gives 200.
func (c *child) answers(ctx context.Context, url string) error {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	err := until(ctx, 30*time.Second, 20*time.Millisecond, func() bool {
		select {
		case <-c.exited:
			return true
		default:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	select {
	case <-c.exited:
		err = errors.New("it ended at once")
	default:
	}
	if err != nil {
		return fmt.Errorf("%s does not answer (see %s): %w", c.name, c.log.Name(), err)
	}
	return nil
}

// freePort is a port that nobody listens on right now.
func freePort() (string, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// serve starts one node; upstream "" is the scripted partner without pauses.
func (o *Options) serve(ctx context.Context, name, bin, redis, upstream, model string) (*child, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	ops, err := freePort()
	if err != nil {
		return nil, err
	}
	env := []string{
		"FLUENTPRO_LISTEN=127.0.0.1:" + port, "FLUENTPRO_OPS_LISTEN=127.0.0.1:" + ops, "FLUENTPRO_DATA_DIR=" + o.Dir,
		"FLUENTPRO_DATABASE_URL=" + o.DatabaseURL, "FLUENTPRO_REDIS_URL=" + redis,
	}
	if upstream == "" {
		env = append(env, "FLUENTPRO_UPSTREAM_SCRIPT_FIRST_TOKEN=0s", "FLUENTPRO_UPSTREAM_SCRIPT_TOKENS_PER_SECOND=10000")
	} else {
		env = append(env, "FLUENTPRO_UPSTREAM_BASE_URL="+upstream, "FLUENTPRO_UPSTREAM_MODEL="+model, "FLUENTPRO_UPSTREAM_CONTINUE=prefix")
	}
	c, err := o.spawn(name, bin, append(env, o.Env...), "serve")
	if err != nil {
		return nil, err
	}
	c.base, c.ops = "http://127.0.0.1:"+port, "http://127.0.0.1:"+ops
	if err := c.answers(ctx, c.base+"/readyz"); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// standIn starts the model that stamps or numbers its tokens.
func (o *Options) standIn(ctx context.Context, model string, first time.Duration, rate float64) (*child, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	c, err := o.spawn("stand-in", o.Binary, nil, "upstream", "fake", "--listen", "127.0.0.1:"+port, "--model", model,
		"--first-token", first.String(), "--tokens-per-second", strconv.FormatFloat(rate, 'f', -1, 64))
	if err != nil {
		return nil, err
	}
	c.base = "http://127.0.0.1:" + port + "/v1"
	if err := c.answers(ctx, c.base+"/models"); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// bareRelay starts the relay without state.
func (o *Options) bareRelay(ctx context.Context, upstream, model string) (*child, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	c, err := o.spawn("bare-relay", o.Binary, nil, "bench", "bare", "--listen", "127.0.0.1:"+port, "--upstream", upstream, "--model", model)
	if err != nil {
		return nil, err
	}
	c.base = "http://127.0.0.1:" + port
	if err := c.answers(ctx, c.base+"/healthz"); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}
