package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// process is one child; it can be started again after it ended. Its methods
// are for one goroutine at a time.
type process struct {
	name, bin string
	args, env []string
	dir       string

	mu     sync.Mutex // guards cmd and exited
	cmd    *exec.Cmd
	exited chan struct{} // closed when it is reaped
}

// start runs it; its output is appended to a file named after it.
func (p *process) start() error {
	f, err := os.OpenFile(filepath.Join(p.dir, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	cmd := exec.Command(p.bin, p.args...) //nolint:noctx // it is ended by kill
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr, cmd.Dir = f, f, dieWithParent(), p.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LANG=C", "HOME=" + p.dir}, p.env...)
	if err := cmd.Start(); err != nil {
		_ = f.Close()
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	exited := make(chan struct{})
	go func() { // ends with the process
		_ = cmd.Wait()
		_ = f.Close()
		close(exited)
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.exited = cmd, exited
	return nil
}

func (p *process) running() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.exited
}

// kill ends it at once (SIGKILL) and returns when it is gone.
func (p *process) kill() {
	if p == nil {
		return
	}
	if cmd, exited := p.running(); cmd != nil {
		_ = cmd.Process.Kill() // fails only when it has ended already
		<-exited
	}
}

func (p *process) signal(s syscall.Signal) error {
	cmd, _ := p.running()
	if err := cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// wait returns the exit code of a process that is about to end.
func (p *process) wait(ctx context.Context, within time.Duration) (int, error) {
	cmd, exited := p.running()
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-exited:
		return cmd.ProcessState.ExitCode(), nil
	case <-t.C:
		return 0, fmt.Errorf("%s has not ended within %s", p.name, within)
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (p *process) gone() bool {
	_, exited := p.running()
	select {
	case <-exited:
		return true
	default:
		return false
	}
}

// freePort is a port that nobody listens on right now. It lies below those
// that the kernel gives to outgoing connections, because a node that is down
// for a while must find its port again.
func freePort() (string, error) {
	for range 100 {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return "", errors.New("no free port between 20000 and 32000")
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// until polls check till it returns nil, at most for limit.
func until(ctx context.Context, limit time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %w", limit, err)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

var errEnded = errors.New("it has ended")

// answers asks url once.
func answers(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
