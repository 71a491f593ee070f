// Package configs is the one typed configuration of FluentPro: what can be
// set, where each value came from, and everything that is wrong with it, told
// at once. Only cmd imports it; every room below has its own Config, so
// nothing below knows an environment variable.
//
// Sources, later ones win: defaults, the profile's file (embedded, see
// development.yaml and its sisters), one YAML file (--config or
// FLUENTPRO_CONFIG), the environment (FLUENTPRO_…, secrets also as …_FILE),
// flags. An empty environment variable counts as not set, because compose
// files and service managers pass those on.
package configs

import (
	"path/filepath"
	"time"
)

// The profiles.
const (
	Development = "development"
	Test        = "test"
	Staging     = "staging"
	Production  = "production"
)

// The parts that can be embedded, as AllowEmbedded names them.
const (
	PartDatabase = "database"
	PartRedis    = "redis"
	PartUpstream = "upstream"
)

// Risks are the names of findings about Redis and SQL that AllowRisks accepts.
var Risks = []string{
	"redis-acl", "redis-eviction", "redis-replica", "redis-saving", "redis-version",
	"sql-async-commit", "sql-fsync", "sql-standby", "sql-torn-pages", "sql-version", "sqlite-sync",
}

// Off switches a listener off.
const Off = "off"

// Config is every setting. The yaml tag is the key in a file; the variable is
// FLUENTPRO_ and the key's path in capitals (upstream.base_url is
// FLUENTPRO_UPSTREAM_BASE_URL), the flag is the path with dashes.
type Config struct {
	Profile string `yaml:"profile" oneof:"development|test|staging|production" doc:"which set of defaults and checks applies"`
	Listen  string `yaml:"listen" doc:"host:port of the page, the API, WebSocket and SSE"`
	DataDir string `yaml:"data_dir" doc:"directory of everything embedded; one process at a time"`

	Database Database `yaml:"database"`
	Redis    Redis    `yaml:"redis"`
	Upstream Upstream `yaml:"upstream"`
	Ops      Ops      `yaml:"ops"`
	Log      Log      `yaml:"log"`
	Limits   Limits   `yaml:"limits"`
	Accounts Accounts `yaml:"accounts"`
	Auth     Auth     `yaml:"auth"`
	Wire     Wire     `yaml:"wire"`
	Roles    Roles    `yaml:"roles"`
	SMTP     SMTP     `yaml:"smtp"`
	Mail     Mail     `yaml:"mail"`
	Jobs     Jobs     `yaml:"jobs"`
	Events   Events   `yaml:"events"`

	PublicURL string `yaml:"public_url" doc:"address of the page, where links in mails lead, scheme://host[:port]; none set: the first of public_origins"`

	PublicOrigins  []string `yaml:"public_origins" doc:"origins whose pages may connect, scheme://host[:port]; none set: loopback names with the port of listen"`
	TrustedProxies []string `yaml:"trusted_proxies" doc:"addresses or CIDRs of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; none set: nobody's"`
	AdvertiseAddr  string   `yaml:"advertise_addr" doc:"host:port where other nodes reach this one; none set: the local address of the SQL connection and the port of listen"`
	AllowEmbedded  []string `yaml:"allow_embedded" doc:"embedded parts that the staging and production profiles accept: database, redis, upstream"`

	AllowRisks []string `yaml:"allow_risks" doc:"settings of Redis and SQL that endanger data and that the staging and production profiles accept all the same, by the names that the start tells"`

	Lease     time.Duration `yaml:"lease" doc:"how long a node's claim on a run lasts without a sign of life"`
	Heartbeat time.Duration `yaml:"heartbeat" doc:"time between two signs of life of a node"`
	Drain     time.Duration `yaml:"drain" doc:"how long a stop may take to finish or hand over what runs"`
	// KeepConversations erases conversations so long after their last change.
	KeepConversations time.Duration `yaml:"keep_conversations" doc:"how long a conversation is kept after its last change; 0 keeps it until it is erased"`
	Checkpoint        string        `yaml:"checkpoint" oneof:"auto|always|never" doc:"partial replies into SQL before they are shown: auto does it with the embedded Redis only"`

	origins  map[string]string
	warnings []string
}

// Database is the SQL authority.
type Database struct {
	URL      URL `yaml:"url" doc:"postgres://… or the path of a SQLite file; embedded: SQLite in data_dir"`
	MaxConns int `yaml:"max_conns" doc:"most connections to SQL, 0 for the engine's own default (Postgres 16, SQLite 4)"`

	ConnIdle     time.Duration `yaml:"conn_idle" doc:"how long an unused connection to Postgres is kept"`
	ConnLifetime time.Duration `yaml:"conn_lifetime" doc:"how long any connection to Postgres is kept, so that a balancer can spread them anew"`
	Migrate      string        `yaml:"migrate" oneof:"start|never" doc:"whether a node migrates the schema when it starts; never refuses to start on an older one and leaves it to fluentpro migrate up"`
}

// Redis is the live side.
type Redis struct {
	URL         URL    `yaml:"url" doc:"redis://…, rediss://… or unix://…; embedded: a Redis inside this process"`
	Incarnation string `yaml:"incarnation" oneof:"auto|replid|marker" doc:"how a Redis that lost its data is recognised: by replication id, by a marker key, or whichever works"`
}

// Ops is the operators' listener.
type Ops struct {
	Listen string `yaml:"listen" doc:"host:port of inspector, metrics and probes, or off; none set: loopback, the port after listen"`
	Token  Secret `yaml:"token" doc:"bearer token for anything but loopback"`
}

// Log is how the process logs to standard error.
type Log struct {
	Level  string `yaml:"level" oneof:"debug|info|warn|error" doc:"least level that is logged"`
	Format string `yaml:"format" oneof:"text|json" doc:"form of a log line"`
}

// Accounts is how learners get and keep an account.
type Accounts struct {
	SignUp      string        `yaml:"sign_up" oneof:"auto|immediate|confirmed" doc:"immediate: an account is usable at once, and an address in use is told; confirmed: usable when the link of a mail was used, and nothing is told; auto: confirmed where mail leaves this machine (smtp.url) and passwords are ours (auth.passwords)"`
	KeyRotation time.Duration `yaml:"key_rotation" doc:"age at which the key that signs tokens is replaced, 0 for never"`
	// KeepLogins and KeepUnconfirmed are what the hourly clean-up goes by.
	KeepLogins      time.Duration `yaml:"keep_logins" doc:"how long a login that ended or expired is remembered with its refresh tokens"`
	KeepUnconfirmed time.Duration `yaml:"keep_unconfirmed" doc:"how long an account is kept that a mail was to confirm and nobody did (sign_up); 0 keeps it. Accounts that were usable at once stay"`
}

// Limits bound what one learner can ask for.
type Limits struct {
	FrameBytes         int `yaml:"frame_bytes" doc:"largest WebSocket frame of a client"`
	MessageChars       int `yaml:"message_chars" doc:"longest message of a learner"`
	Subscriptions      int `yaml:"subscriptions" doc:"most conversations one connection follows"`
	ConnectionsPerUser int `yaml:"connections_per_user" doc:"most open connections of one learner"`
	Queue              int `yaml:"queue" doc:"most messages that wait for a reply in one conversation"`
}

// Wire is how connections are kept alive.
type Wire struct {
	Ping      time.Duration `yaml:"ping" doc:"silence on a WebSocket after which the server pings; a third of the idle limit of the proxies in front is a good value"`
	Heartbeat time.Duration `yaml:"heartbeat" doc:"time between two signs of life on an event stream; a quarter of that limit is a good value"`
}

// The defaults below are those of every profile; a profile's file says only
// what differs. DataDir, ops.listen and upstream.base_url are worked out at
// load, because they depend on other things.
func defaults() Config {
	c := Config{
		Profile:    Development,
		Listen:     "127.0.0.1:8080",
		Database:   Database{ConnIdle: 5 * time.Minute, ConnLifetime: 30 * time.Minute, Migrate: "start"},
		Redis:      Redis{Incarnation: "auto"},
		Upstream:   upstreamDefaults(),
		Log:        Log{Level: "info", Format: "text"},
		Limits:     Limits{FrameBytes: 64 << 10, MessageChars: 8192, Subscriptions: 32, ConnectionsPerUser: 20, Queue: 4},
		Roles:      Roles{Match: auto, Azure: AzureSearch{Index: "fluentpro-roles"}},
		Accounts:   Accounts{SignUp: "auto", KeyRotation: 90 * 24 * time.Hour, KeepLogins: 7 * 24 * time.Hour, KeepUnconfirmed: 30 * 24 * time.Hour},
		Auth:       authDefaults(),
		Wire:       Wire{Ping: 20 * time.Second, Heartbeat: 15 * time.Second},
		Lease:      3 * time.Second,
		Heartbeat:  500 * time.Millisecond,
		Drain:      20 * time.Second,
		Checkpoint: "auto",
	}
	backgroundDefaults(&c)
	return c
}

// EmbeddedDatabase says that SQL is a SQLite file on this machine.
func (c *Config) EmbeddedDatabase() bool { return !c.Database.URL.hasScheme("postgres", "postgresql") }

// EmbeddedRedis says that Redis runs inside this process.
func (c *Config) EmbeddedRedis() bool { return c.Redis.URL.Reveal() == "" }

// EmbeddedUpstream says that the scripted partner answers.
func (c *Config) EmbeddedUpstream() bool { return c.Upstream.BaseURL == "" }

// Strict says that the profile refuses embedded parts not allowed by name.
func (c *Config) Strict() bool { return c.Profile == Staging || c.Profile == Production }

// Warnings are things that work but look wrong, one line each.
func (c *Config) Warnings() []string { return c.warnings }

// ConfirmSignUp says that a mail must confirm an account before it is usable.
func (c *Config) ConfirmSignUp() bool {
	return c.Accounts.SignUp == "confirmed" || c.Accounts.SignUp == "auto" && !c.MailToFiles() && c.Passwords() == PasswordsLocal
}

// SQL is what to open: the database URL, or the embedded file in the data
// directory.
func (c *Config) SQL() string {
	if u := c.Database.URL.Reveal(); u != "" {
		return u
	}
	return filepath.Join(c.DataDir, "fluentpro.db")
}
