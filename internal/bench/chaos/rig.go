package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// rig is what all scenarios of a run share: a database, learners, a directory.
type rig struct {
	o        *Options
	dir      string
	web      *http.Client
	database *database
	learners []*learner
}

// database is a Postgres database of this run's own.
type database struct {
	url, addr, name, version string
	admin                    *sqldb.DB
	// db looks into it from outside.
	db *sqldb.DB
}

func newDatabase(ctx context.Context, base string) (*database, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("the chaos run needs the URL of a Postgres, postgres://…")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "5432")
	}
	admin, err := sqldb.Open(ctx, u.String(), sqldb.Options{MaxConns: 1})
	if err != nil {
		return nil, err
	}
	d := &database{admin: admin, addr: u.Host, name: fmt.Sprintf("chaos_%08x", rand.Uint32())}
	if err := admin.Conn(ctx).QueryRowContext(ctx, "SHOW server_version").Scan(&d.version); err != nil {
		return nil, errors.Join(fmt.Errorf("ask Postgres for its version: %w", err), admin.Close())
	}
	if _, err := admin.Conn(ctx).ExecContext(ctx, "CREATE DATABASE "+d.name); err != nil {
		return nil, errors.Join(fmt.Errorf("make a database for this run: %w", err), admin.Close())
	}
	u.Path = "/" + d.name
	d.url = u.String()
	if d.db, err = sqldb.Open(ctx, d.url, sqldb.Options{MaxConns: 2}); err != nil {
		return nil, errors.Join(err, d.drop())
	}
	return d, nil
}

// drop removes the database, whoever is still connected.
func (d *database) drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var err error
	if d.db != nil {
		err = d.db.Close()
	}
	_, derr := d.admin.Conn(ctx).ExecContext(ctx, "DROP DATABASE "+d.name+" WITH (FORCE)")
	return errors.Join(err, derr, d.admin.Close())
}

// people is how many learners share the conversations of a scenario.
const people = 8

func newRig(ctx context.Context, o *Options) (_ *rig, err error) {
	r := &rig{o: o, dir: o.Dir, web: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, err
	}
	if r.dir, err = filepath.Abs(r.dir); err != nil {
		return nil, err
	}
	if r.database, err = newDatabase(ctx, o.DatabaseURL); err != nil {
		return nil, err
	}
	if err := r.seed(ctx); err != nil {
		return nil, errors.Join(err, r.database.drop())
	}
	return r, nil
}

// seed makes the learners on a node that writes scenarios without pauses.
func (r *rig) seed(ctx context.Context) error {
	redis, err := alone(ctx, r.dir, false)
	if err != nil {
		return err
	}
	defer redis.close()
	model, err := newStandIn()
	if err != nil {
		return err
	}
	defer model.close()
	n, err := r.newNode("seed", redis, model, fleetOptions{tokens: 1})
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.up(ctx); err != nil {
		return err
	}
	r.learners = make([]*learner, people)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i := range r.learners {
		g.Go(func() error {
			var err error
			r.learners[i], err = newLearner(gctx, r.web, n.real)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("make learners: %w", err)
	}
	return nil
}

func (r *rig) close() error {
	r.web.CloseIdleConnections()
	return r.database.drop()
}
