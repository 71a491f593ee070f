package sqldb

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// sqliteDSN prepares the file, takes its lock and returns the DSN.
func sqliteDSN(path string) (dsn string, unlock func() error, err error) {
	q := url.Values{}
	q.Set("_txlock", "immediate")
	for _, p := range []string{"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"} {
		q.Add("_pragma", p)
	}
	if path == ":memory:" {
		return "file::memory:?" + q.Encode(), func() error { return nil }, nil
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return "", nil, fmt.Errorf("open sqlite: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", nil, fmt.Errorf("open sqlite: %w", err)
	}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return "", nil, fmt.Errorf("open sqlite: %s is a directory", path)
	}
	lock := flock.New(path + ".lock")
	ok, err := lock.TryLock()
	if err != nil {
		return "", nil, fmt.Errorf("open sqlite: lock %s: %w", path, err)
	}
	if !ok {
		return "", nil, fmt.Errorf("open sqlite: %s is in use by another process; stop it, or give this one its own FLUENTPRO_DATA_DIR", path)
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode(), lock.Unlock, nil
}
