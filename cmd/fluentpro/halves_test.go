package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/conversation"
	convsql "github.com/fluentpro/fluentpro/conversation/sqlstore"
	"github.com/fluentpro/fluentpro/domains/authentication"
	authsql "github.com/fluentpro/fluentpro/domains/authentication/sqlstore"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	onboardingsql "github.com/fluentpro/fluentpro/domains/onboarding/sqlstore"
	"github.com/fluentpro/fluentpro/domains/practice"
	practicesql "github.com/fluentpro/fluentpro/domains/practice/sqlstore"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

// whole is everything that writes, wired as in the server, over one database
// whose statements can be cut.
type whole struct {
	t     *testing.T
	db    *sqldb.DB
	cut   *sqldbtest.Cutter
	auth  *authentication.Service
	onb   *onboarding.Service
	rec   *practice.Recommender
	convs *convsql.Store
	box   *lastMail
	now   time.Time
	// who is signed in, with what.
	who     authentication.LearnerID
	family  authentication.FamilyID
	refresh string
}

// lastMail keeps the last mail.
type lastMail struct{ text string }

func (b *lastMail) Send(_ context.Context, m authentication.Mail) error { b.text = m.Text; return nil }

// secret is the token of the last mail's link.
func (w *whole) secret(write func(context.Context, authentication.LearnerID) error) string {
	w.t.Helper()
	w.must(write(w.t.Context(), w.who))
	_, after, _ := strings.Cut(w.box.text, "/#/")
	_, token, _ := strings.Cut(after, "/")
	return token[:43]
}

func (w *whole) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

const halvesPassword = "correct horse 9"

func (w *whole) application(email string) authentication.SignUpInput {
	return authentication.SignUpInput{Email: email, Password: halvesPassword, FullName: "Ana Souza", AcceptTerms: true, AgeConfirmed: true}
}

func (w *whole) confirmed() authentication.ConfirmedInput {
	return authentication.ConfirmedInput{Learner: w.who, Password: halvesPassword}
}

func newWhole(t *testing.T, db *sqldb.DB, confirm bool) *whole {
	t.Helper()
	mode := "immediate"
	if confirm {
		mode = "confirmed"
	}
	cfg, err := configs.Load(configs.Input{Env: []string{"FLUENTPRO_DATA_DIR=" + t.TempDir(), "FLUENTPRO_ACCOUNTS_SIGN_UP=" + mode}})
	if err != nil {
		t.Fatal(err)
	}
	w := &whole{t: t, db: db, box: &lastMail{}, now: time.Now(), convs: convsql.New(db)}
	back := newTestBackroom(t, db)
	accounts := accountsConfig(cfg, db, back, "https://english.example.com")
	accounts.Hash, accounts.AnswerAfter, accounts.Mailer = authentication.HashCost{MemoryKiB: 8, Passes: 1}, -1, w.box
	accounts.Now = func() time.Time { return w.now }
	w.auth, err = authentication.New(t.Context(), authsql.New(db), accounts)
	w.must(err)
	w.onb = onboarding.New(onboardingsql.New(db).Recording(back.trail), nil, nil)
	w.rec = practice.NewRecommender(profiles{w.onb}, practicesql.New(db), nil)
	up, err := w.auth.SignUp(t.Context(), w.application("ana@example.com"))
	w.must(err)
	if confirm {
		v, err := w.auth.Find(t.Context(), "ana@example.com")
		w.must(err)
		w.who = v.ID
	} else {
		w.who, w.refresh = up.Learner.ID, up.Tokens.RefreshToken
		list, err := w.auth.Logins(t.Context(), w.who, "")
		w.must(err)
		w.family = list[0].ID
	}
	w.cut = sqldbtest.Cut(t, db)
	return w
}

// answers are the steps of onboarding, in order.
var halvesAnswers = [][2]string{
	{"language", `{"language":"de"}`}, {"industry", `{"industry":"banking_finance"}`},
	{"job", `{"title":"Credit analyst","description":"I study the figures of borrowers."}`}, {"role", `{"role":"credit_analyst"}`},
	{"partners", `{"partners":[{"partner":"clients"},{"custom":"Risk board"}]}`},
	{"situations", `{"situations":[{"partner":"clients","situations":[{"situation":"meetings"}]},{"partner":"custom:Risk board","situations":[{"situation":"presentations"}]}]}`},
	{"level", `{"level":"b1"}`}, {"summary", `{"confirmed":true}`},
}

// answer gives the first n answers.
func (w *whole) answer(n int) {
	w.t.Helper()
	for _, a := range halvesAnswers[:n] {
		_, err := w.onb.Answer(w.t.Context(), onboarding.LearnerID(w.who), a[0], json.RawMessage(a[1]))
		w.must(err)
	}
}

// talk makes a conversation with one message.
func (w *whole) talk() conversation.ID {
	w.t.Helper()
	rec, _, err := w.convs.Create(w.t.Context(), w.chat("c1"))
	w.must(err)
	w.must(w.say(rec.Header.ID, "m1", conversation.SendInput{Text: "hi"}))
	return rec.Header.ID
}

func (w *whole) chat(key string) conversation.CreateInput {
	return conversation.CreateInput{Owner: conversation.LearnerID(w.who), Kind: conversation.KindChat, ClientID: key, Title: "t", Meta: json.RawMessage(`{}`), Opening: "Hello."}
}

func (w *whole) say(id conversation.ID, key string, in conversation.SendInput) error {
	in.Conversation, in.Learner, in.ClientID = id, conversation.LearnerID(w.who), key
	_, _, err := w.convs.Accept(w.t.Context(), in, 4, "", nil)
	return err
}

// useCase is something that writes: prepare returns what is cut.
type useCase struct {
	confirm bool
	prepare func(w *whole) func(context.Context) error
}

// useCases are named by the method that they call, with what is special behind
// a colon.
var useCases = map[string]useCase{
	"SignUp": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := w.auth.SignUp(ctx, w.application("new@example.com"))
			return err
		}
	}},
	"SignUp: to be confirmed": {true, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := w.auth.SignUp(ctx, w.application("new@example.com"))
			return err
		}
	}},
	"Login": {false, func(w *whole) func(context.Context) error { return w.login }},
	"Login: brings the account back": {false, func(w *whole) func(context.Context) error {
		w.must(w.auth.Deactivate(w.t.Context(), w.confirmed()))
		return w.login
	}},
	"Refresh": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error { _, err := w.auth.Refresh(ctx, w.refresh); return err }
	}},
	"Logout": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error {
			return w.auth.Logout(ctx, authentication.LogoutInput{RefreshToken: w.refresh})
		}
	}},
	"Logout: everywhere": {false, func(w *whole) func(context.Context) error {
		w.must(w.login(w.t.Context()))
		return func(ctx context.Context) error {
			return w.auth.Logout(ctx, authentication.LogoutInput{Learner: w.who, All: true})
		}
	}},
	"EndLogin": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error { return w.auth.EndLogin(ctx, w.who, w.family) }
	}},
	"Rename": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error { _, err := w.auth.Rename(ctx, w.who, "Ana Lima"); return err }
	}},
	"ChangePassword": {false, func(w *whole) func(context.Context) error {
		w.must(w.login(w.t.Context()))
		return func(ctx context.Context) error {
			return w.auth.ChangePassword(ctx, authentication.ChangePasswordInput{ConfirmedInput: w.confirmed(), Family: w.family, NewPassword: "tulip under glass"})
		}
	}},
	"RequestPasswordReset": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error { return w.auth.RequestPasswordReset(ctx, "ana@example.com", "") }
	}},
	"ResetPassword": {false, func(w *whole) func(context.Context) error {
		token := w.secret(w.auth.MailPasswordReset)
		return func(ctx context.Context) error { return w.auth.ResetPassword(ctx, token, "tulip under glass") }
	}},
	"PasswordLink": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error { _, _, err := w.auth.PasswordLink(ctx, w.who); return err }
	}},
	"RequestEmailVerification": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error { return w.auth.RequestEmailVerification(ctx, w.who, "") }
	}},
	"ConfirmEmail": {true, func(w *whole) func(context.Context) error {
		token := w.secret(w.auth.MailVerification)
		return func(ctx context.Context) error { return w.auth.ConfirmEmail(ctx, token) }
	}},
	"ChangeEmail": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error { return w.auth.ChangeEmail(ctx, w.confirmed(), "other@example.com") }
	}},
	"Deactivate": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error { return w.auth.Deactivate(ctx, w.confirmed()) }
	}},
	"SetRole": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error {
			return w.auth.SetRole(ctx, authentication.AtTheMachine, w.who, authentication.RoleOperator)
		}
	}},
	"Suspend": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error { return w.auth.Suspend(ctx, authentication.AtTheMachine, w.who) }
	}},
	"Restore": {false, func(w *whole) func(context.Context) error {
		w.must(w.auth.Suspend(w.t.Context(), authentication.AtTheMachine, w.who))
		return func(ctx context.Context) error { return w.auth.Restore(ctx, authentication.AtTheMachine, w.who) }
	}},
	"Erase": {false, func(w *whole) func(context.Context) error {
		w.everything()
		return func(ctx context.Context) error { return w.auth.Erase(ctx, w.confirmed()) }
	}},
	"EraseAccount": {false, func(w *whole) func(context.Context) error {
		w.everything()
		return func(ctx context.Context) error { return w.auth.EraseAccount(ctx, authentication.AtTheMachine, w.who) }
	}},
	"Sweep": {true, func(w *whole) func(context.Context) error {
		w.now = w.now.Add(31 * 24 * time.Hour)
		return func(ctx context.Context) error { _, err := w.auth.Sweep(ctx); return err }
	}},
	"Answer": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := w.onb.Answer(ctx, onboarding.LearnerID(w.who), "language", json.RawMessage(`{"language":"de"}`))
			return err
		}
	}},
	"Answer: others depend on it": {false, func(w *whole) func(context.Context) error {
		w.answer(len(halvesAnswers))
		_, err := w.onb.Complete(w.t.Context(), onboarding.LearnerID(w.who))
		w.must(err)
		return func(ctx context.Context) error {
			_, err := w.onb.Answer(ctx, onboarding.LearnerID(w.who), "industry", json.RawMessage(`{"industry":"insurance"}`))
			return err
		}
	}},
	"AnswerSituations": {false, func(w *whole) func(context.Context) error {
		w.answer(5)
		return func(ctx context.Context) error {
			_, err := w.onb.AnswerSituations(ctx, onboarding.LearnerID(w.who), "clients", []onboarding.SituationChoice{{Situation: "meetings"}})
			return err
		}
	}},
	"AnswerQuestion": {false, func(w *whole) func(context.Context) error {
		w.answer(4)
		q, err := w.onb.Question(w.t.Context(), onboarding.LearnerID(w.who))
		w.must(err)
		return func(ctx context.Context) error {
			_, err := w.onb.AnswerQuestion(ctx, onboarding.LearnerID(w.who), q.Key, "clients")
			return err
		}
	}},
	"Settle": {false, func(w *whole) func(context.Context) error {
		w.answer(6)
		return func(ctx context.Context) error { _, err := w.onb.Settle(ctx, onboarding.LearnerID(w.who)); return err }
	}},
	"Complete": {false, func(w *whole) func(context.Context) error {
		w.answer(len(halvesAnswers))
		return func(ctx context.Context) error {
			_, err := w.onb.Complete(ctx, onboarding.LearnerID(w.who))
			return err
		}
	}},
	"recommendations are made": {false, func(w *whole) func(context.Context) error {
		w.answer(len(halvesAnswers))
		_, err := w.onb.Complete(w.t.Context(), onboarding.LearnerID(w.who))
		w.must(err)
		return func(ctx context.Context) error { return w.rec.Refresh(ctx, string(w.who)) }
	}},
	"a scenario is asked for": {false, func(w *whole) func(context.Context) error {
		in := w.chat("r1")
		in.Kind, in.Opening, in.Run = conversation.KindScenario, "", true
		return func(ctx context.Context) error { _, _, err := w.convs.Create(ctx, in); return err }
	}},
	"a conversation begins": {false, func(w *whole) func(context.Context) error {
		return func(ctx context.Context) error { _, _, err := w.convs.Create(ctx, w.chat("c1")); return err }
	}},
	"a message is sent": {false, func(w *whole) func(context.Context) error {
		id := w.talk()
		return func(ctx context.Context) error {
			_, _, err := w.convs.Accept(ctx, conversation.SendInput{Conversation: id, Learner: conversation.LearnerID(w.who), ClientID: "m2", Text: "ho"}, 4, "", nil)
			return err
		}
	}},
	"a message is edited": {false, func(w *whole) func(context.Context) error {
		id := w.talk()
		return func(ctx context.Context) error {
			_, _, err := w.convs.Accept(ctx, conversation.SendInput{Conversation: id, Learner: conversation.LearnerID(w.who), ClientID: "m2",
				Op: conversation.OpEdit, Message: "m1", Text: "ho"}, 4, "", nil)
			return err
		}
	}},
	"a conversation is erased": {false, func(w *whole) func(context.Context) error {
		id := w.talk()
		return func(ctx context.Context) error {
			_, err := w.convs.Erase(ctx, conversation.LearnerID(w.who), id)
			return err
		}
	}},
}

// readers write nothing, or what is no unit of a learner's data: keys, and
// mails, whose link is the use case PasswordLink.
var readers = []string{"Account", "Find", "Accounts", "Verify", "LoginEnded", "Run", "PublicKeys", "SigningKeys", "RotateSigningKey", "ReplaceSigningKeys",
	"Logins", "MailWelcome", "MailPasswordReset", "MailVerification", "MailPasswordChanged", "MailSignUpRepeated", "MailEmailChange", "Export", "Me",
	"Question", "Get", "View", "Step", "Options", "RoleMatches"}

func (w *whole) login(ctx context.Context) error {
	_, err := w.auth.Login(ctx, authentication.LoginInput{Email: "ana@example.com", Password: halvesPassword})
	return err
}

// everything gives the learner something of each table.
func (w *whole) everything() {
	w.t.Helper()
	w.answer(len(halvesAnswers))
	_, err := w.onb.Complete(w.t.Context(), onboarding.LearnerID(w.who))
	w.must(err)
	w.must(w.rec.Refresh(w.t.Context(), string(w.who)))
	w.talk()
	w.secret(w.auth.MailPasswordReset)
}

// TestNothingIsHalf cuts each use case that writes at each of its statements,
// on both engines: after the cut the whole database is as it was before, or
// everything is there that the use case writes when nobody cuts it, events,
// outbox and jobs with the rest. Every method of the services has its row.
func TestNothingIsHalf(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for _, name := range readers {
		covered[name] = true
	}
	for name := range useCases {
		method, _, _ := strings.Cut(name, ":")
		covered[method] = true
	}
	for _, service := range []reflect.Type{reflect.TypeFor[*authentication.Service](), reflect.TypeFor[*onboarding.Service]()} {
		for i := range service.NumMethod() {
			if name := service.Method(i).Name; !covered[name] {
				t.Errorf("%s.%s has no row: does it write?", service, name)
			}
		}
	}
	engines := map[string]func(testing.TB) *sqldb.DB{"sqlite": sqldbtest.SQLite, "postgres": sqldbtest.Postgres}
	for engine, open := range engines {
		for name, u := range useCases {
			t.Run(engine+"/"+name, func(t *testing.T) { t.Parallel(); cutEverywhere(t, open, u) })
		}
	}
}

func cutEverywhere(t *testing.T, open func(testing.TB) *sqldb.DB, u useCase) {
	one := newWhole(t, open(t), u.confirm)
	op := u.prepare(one)
	before := tablesOf(t, one.db)
	one.must(op(t.Context()))
	want := grown(before, tablesOf(t, one.db))
	if len(want) == 0 {
		t.Fatal("it writes nothing")
	}
	two := newWhole(t, open(t), u.confirm)
	op = u.prepare(two)
	before = tablesOf(t, two.db)
	for k := int64(1); k < 300; k++ {
		two.now = two.now.Add(20 * time.Minute) // so that no guard slows it down
		two.cut.At(k)
		err := op(t.Context())
		cut := two.cut.Done()
		two.cut.At(0)
		after := tablesOf(t, two.db)
		switch got := grown(before, after); {
		case !cut && err != nil:
			t.Fatalf("nothing was cut: %v", err)
		case len(got) == 0 && err == nil:
			t.Fatalf("cut at statement %d it says that it was done, and nothing is", k)
		case len(got) == 0: // nothing: again, cut later
		case !maps.Equal(got, want):
			t.Fatalf("cut at statement %d (%v) half is there: %v, whole it is %v", k, err, got, want)
		default:
			if k < 3 {
				t.Fatalf("done after %d statements: nothing was cut", k)
			}
			return
		}
	}
	t.Fatal("it never ends")
}

// tablesOf is every row of every table, as text.
func tablesOf(t *testing.T, db *sqldb.DB) map[string][]string {
	t.Helper()
	names := "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
	if db.Engine == sqldb.Postgres {
		names = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
	}
	out := map[string][]string{}
	for _, row := range rowsOf(t, db, names) {
		out[row] = rowsOf(t, db, `SELECT * FROM "`+row+`"`)
		slices.Sort(out[row])
	}
	if len(out) < 25 {
		t.Fatalf("only %d tables", len(out))
	}
	return out
}

func rowsOf(t *testing.T, db *sqldb.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.Conn(t.Context()).QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		cells, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for i, c := range cells {
			if b, ok := c.([]byte); ok {
				cells[i] = string(b)
			}
		}
		if len(cells) == 1 {
			out = append(out, fmt.Sprint(cells[0]))
			continue
		}
		out = append(out, fmt.Sprint(cells))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// grown tells how many rows each table gained, and lost or changed; a table as
// it was is left out.
func grown(before, after map[string][]string) map[string]string {
	out := map[string]string{}
	for name, rows := range after {
		gained, lost := 0, 0
		for _, r := range rows {
			if _, had := slices.BinarySearch(before[name], r); !had {
				gained++
			}
		}
		for _, r := range before[name] {
			if _, has := slices.BinarySearch(rows, r); !has {
				lost++
			}
		}
		if gained+lost > 0 {
			out[name] = fmt.Sprintf("+%d -%d", gained, lost)
		}
	}
	return out
}
