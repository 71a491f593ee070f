package sqldb

import "context"

// LockTable is the table of the lock of migrations.
const LockTable = lockTable

// Versions are those of the migrations, in order.
func (d *DB) Versions() (out []int64, err error) {
	p, err := d.provider()
	if err != nil {
		return nil, err
	}
	for _, s := range p.ListSources() {
		out = append(out, s.Version)
	}
	return out, nil
}

// MigrateTo goes up or down to a version.
func (d *DB) MigrateTo(ctx context.Context, version int64) error {
	p, err := d.provider()
	if err != nil {
		return err
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	if have < version {
		_, err = p.UpTo(ctx, version)
	} else {
		_, err = p.DownTo(ctx, version)
	}
	return err
}
