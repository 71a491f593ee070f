package fake

import (
	"regexp"
	"strings"
)

// lines are what a partner says besides facts, by band of level.
var lines = map[string][3][]string{
	"greet": {
		{"Hello! Nice to talk to you.", "Hi! Good to meet you."},
		{"Hello, good to hear from you.", "Hi there, thanks for getting in touch."},
		{"Good to hear from you; I was hoping we would find a moment.", "Hello, and thank you for making the time."},
	},
	"answer": {
		{"Good question.", "Yes, sure.", "Let me tell you."},
		{"That is a good question.", "Sure, let me explain.", "I am glad you ask."},
		{"I am glad you raise that.", "That is exactly the right question.", "Fair question, and I will be open with you."},
	},
	"again": {
		{"Yes.", "Right."},
		{"Yes, I think I told you.", "It is as I said before."},
		{"I think I mentioned it earlier.", "Let me come back to what I said."},
	},
	"open": {
		{"I want this:", "For me this is important:"},
		{"What I need from this is simple:", "For me the main point is this:"},
		{"Let me put my aim plainly:", "What would make this a good talk for me is this:"},
	},
	"hear": {
		{"OK, I see.", "Good, thank you.", "I understand."},
		{"All right, that helps me.", "Thanks, I see what you mean.", "OK, that makes sense so far."},
		{"Thank you, that gives me a clearer picture.", "I see where you are coming from.", "That is helpful, and more concrete than I expected."},
	},
	"sorry": {
		{"Thank you. That is kind.", "It is OK. Thank you."},
		{"Thank you for saying that.", "I appreciate that, really."},
		{"Thank you, I appreciate that you say so openly.", "That is good to hear; not everybody would have said it."},
	},
	"plan": {
		{"That is a good idea.", "Good plan."},
		{"That could work for me.", "I like that idea."},
		{"I think we could build on that.", "That sounds workable, at least in principle."},
	},
	"limit": {
		{"But there is one thing.", "One thing is difficult."},
		{"There is one thing you should know, though.", "I have to mention one limit."},
		{"There is one constraint I should be upfront about, though.", "Before we go on, one caveat from my side."},
	},
	"yes": {
		{"Great!", "Very good!"},
		{"Great, I am glad we agree.", "Perfect, that is settled."},
		{"Excellent, then we are on the same page.", "Very good, I think that is a solid result."},
	},
	"no": {
		{"OK. That is a problem for me.", "Oh, I see. That is not easy."},
		{"Hmm, that is difficult for me.", "I see, but that leaves me with a problem."},
		{"I understand, though it does put me in a difficult position.", "I respect that, but we will need another way then."},
	},
	"again please": {
		{"Sure, I will say it again.", "No problem. In other words:"},
		{"Of course, let me say it another way.", "Sure, I will put it more simply."},
		{"Of course; let me put it differently.", "Certainly, I was not very clear."},
	},
	"bye": {
		{"Thank you! Have a nice day.", "Thanks a lot. Goodbye!"},
		{"Thank you for your help, and have a good day.", "Thanks, I am happy with this. Talk to you soon."},
		{"Thank you, this was a very useful conversation. I look forward to hearing from you.", "I appreciate your time; let us stay in touch on this."},
	},
	"check": {
		{"So %s, is that right?", "You say %s. Is that right?"},
		{"So we are talking about %s, is that right?", "Just to be sure: %s, yes?"},
		{"I have noted %s. Did I get that right?", "Let me make sure I noted it correctly: %s?"},
	},
	"ask": {
		{"What can you do for me?", "What do you think?", "What is the first step?", "When can you start?", "Who can help us?", "Can you tell me more?", "What do you need from me?"},
		{"What would you suggest as a first step?", "How would that work in practice?", "When could you start with it?", "Who on your side would take care of it?",
			"What do you need from me for that?", "What happens if it takes longer than planned?", "How do we know that it works?"},
		{"What would you propose as a first step?", "How do you see that working in practice?", "What would you need from our side to make it happen?",
			"Who would be responsible for it at your end?", "What is your fallback if it takes longer than expected?", "How would we know that it has been a success?",
			"Is there anything that could still get in the way?"},
	},
	"end": {
		{"Can we say the plan one more time?", "So what is our plan now?"},
		{"Could you sum up what we have agreed?", "So what is the plan, in one sentence?"},
		{"Would you mind summing up where we stand?", "Shall we recap what each of us takes away from this?"},
	},
}

var (
	tagLike   = regexp.MustCompile(`</?[A-Za-z_][^>\n]{0,80}>`)
	details   = regexp.MustCompile(`(?i)\b(?:(?:next |on |by |until |this )?(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday|tomorrow)(?: (?:morning|afternoon|evening))?(?: at \w+)?|(?:next|this) (?:week|month)|\d+(?:[.,]\d+)? ?(?:percent|%|days?|weeks?|months?|hours?|people|euros?|dollars?)|at \d{1,2}(?::\d\d)?(?: ?[ap]m)?|(?:two|three|four|five|six|ten) (?:days|weeks|months|hours|people|percent))`)
	greeting  = regexp.MustCompile(`(?i)^\W*(hi|hello|hey|good (morning|afternoon|evening)|dear)\b`)
	farewell  = regexp.MustCompile(`(?i)\b(bye|goodbye|see you|talk (to you )?(soon|later)|have a (nice|good|great)|speak soon|take care)\b`)
	thanking  = regexp.MustCompile(`(?i)\b(thanks|thank you|cheers)\b`)
	apology   = regexp.MustCompile(`(?i)\b(sorry|apologi[sz]e|my (fault|mistake))\b`)
	asksAgain = regexp.MustCompile(`(?i)(what do you mean|don'?t understand|do not understand|not clear|repeat|say (that|it) again|pardon|explain that again)`)
	agreement = regexp.MustCompile(`(?i)^\W*(yes|yeah|ok|okay|sure|agreed|deal|great|perfect|of course|that'?s right|exactly|sounds good)\b`)
	refusal   = regexp.MustCompile(`(?i)(^\W*no\b|\b(can'?t|cannot|impossible|not possible|unfortunately|afraid)\b)`)
	proposal  = regexp.MustCompile(`(?i)\b(how about|what about|suggest|propose|could we|can we|shall we|let'?s|we (can|could|will)|i (can|could|will|'ll)|maybe|offer|plan|would you accept)\b`)
	offering  = regexp.MustCompile(`(?i)\b(i|we) (can|could|will|would|may)|\b(offer|help|share|my (weekend|side|experience))\b`)
	openAsk   = regexp.MustCompile(`(?i)\b(why|how come|tell me|more about|anything else|what else|background|details?|explain|describe|reason|important|matters?|worr(y|ies)|need)\b`)
	asking    = regexp.MustCompile(`(?i)(\?|^\W*(what|when|where|who|why|how|which|do you|does|did|is|are|can you|could you|would you|have you|may i|tell me)\b)`)
)

// closingTurn is the learner turn from which on the partner looks for an end.
const closingTurn = 6

// partnerLine is the partner's next line. It answers what was asked, gives a
// hidden fact away only when it is asked for (or offered something for it),
// checks details and asks on, in as many words as the level allows.
func partnerLine(history []message) string {
	if next := dataOf(history, "system developer").str("say_next"); next != "" {
		return next // an interviewer is told what to ask
	}
	c := cardOf(history)
	last := plainText(lastUser(history))
	if last == "" || history[len(history)-1].Role == "system" && saidBy(history, "user") == "" {
		if c.opening != "" {
			return c.opening
		}
	}
	l := line{c: c, seed: hashMessages(history), said: saidBy(history, "assistant")}
	for _, m := range history {
		if m.Role == "user" {
			l.turn++
		}
	}
	l.reply(last)
	return l.String()
}

// line is a partner line in the making.
type line struct {
	c     card
	seed  uint64
	said  string // by the partner so far
	turn  int    // learner turns so far
	parts []string
}

// bank picks an unsaid line of a kind.
func (l *line) bank(kind string) string {
	list := lines[kind][l.c.band]
	l.seed = mix(l.seed + 1)
	for i := range list {
		s := list[(l.seed+uint64(i))%uint64(len(list))]
		if !strings.Contains(l.said, strings.ToLower(strings.ReplaceAll(s, "%s", ""))) {
			return s
		}
	}
	return pick(l.seed, list)
}

func (l *line) add(s string) { l.parts = append(l.parts, s) }

func (l *line) reply(last string) {
	switch {
	case farewell.MatchString(last) || (thanking.MatchString(last) && l.turn >= 4 && !strings.Contains(last, "?")):
		l.add(l.bank("bye"))
		return
	case asksAgain.MatchString(last):
		l.add(l.bank("again please"))
		if f := l.lastFact(); f != "" {
			l.add(f)
		} else {
			l.aim()
		}
		return
	}
	if l.turn <= 1 && greeting.MatchString(last) {
		l.add(l.bank("greet"))
	} else if apology.MatchString(last) {
		l.add(l.bank("sorry"))
	}
	// A proposal in the form of a question is first of all a proposal.
	if detail := details.FindString(last); asking.MatchString(last) && !(detail != "" && proposal.MatchString(last)) {
		l.answer(last)
		return
	}
	switch {
	case refusal.MatchString(last):
		l.react("no")
		if !l.offered() {
			l.constraint()
		}
	case proposal.MatchString(last):
		l.react("plan")
		if detail := strings.ToLower(details.FindString(last)); detail != "" && !strings.Contains(l.said, detail) {
			l.add(strings.Replace(l.bank("check"), "%s", keepDays(detail), 1))
			return
		}
		if !offering.MatchString(last) || !l.offered() {
			l.constraint()
		}
	case agreement.MatchString(last):
		l.react("yes")
	default:
		l.react("hear")
		if detail := strings.ToLower(details.FindString(last)); detail != "" && !strings.Contains(l.said, detail) {
			l.add(strings.Replace(l.bank("check"), "%s", keepDays(detail), 1))
			return
		}
	}
	l.ask()
}

// react adds a reaction unless the line has begun already.
func (l *line) react(kind string) {
	if len(l.parts) == 0 {
		l.add(l.bank(kind))
	}
}

// answer answers a question.
func (l *line) answer(q string) {
	best, bestScore := -1, 0
	for i, f := range l.c.hidden {
		if f.RevealWhen == "never" {
			continue
		}
		if n := score(q, f.Text); n > bestScore {
			best, bestScore = i, n
		}
	}
	// An open question gets something new rather than the same again.
	if openAsk.MatchString(q) && (best < 0 || known(l.said, l.fact(best))) {
		for i, f := range l.c.hidden {
			if f.RevealWhen != "never" && f.RevealWhen != "offered" && !known(l.said, l.fact(i)) {
				best = i
				break
			}
		}
	}
	switch {
	case best < 0:
		l.react("answer")
		l.aim()
	case known(l.said, l.fact(best)):
		l.add(l.bank("again"))
		l.add(l.fact(best))
	default:
		l.react("answer")
		l.add(l.fact(best))
	}
	if l.c.band > 0 {
		l.ask()
	}
}

func (l *line) fact(i int) string { return own(l.c.hidden[i].Text, l.c.first) }

// lastFact is a fact that was told already, the latest of the card.
func (l *line) lastFact() string {
	for i := len(l.c.hidden) - 1; i >= 0; i-- {
		if f := l.fact(i); known(l.said, f) {
			return f
		}
	}
	return ""
}

// offered tells a fact that is kept for somebody who offers something.
func (l *line) offered() bool {
	for i, f := range l.c.hidden {
		if f.RevealWhen == "offered" && !known(l.said, l.fact(i)) {
			l.add(l.fact(i))
			return true
		}
	}
	return false
}

// constraint names a limit that was not named yet, every other turn.
func (l *line) constraint() {
	if l.turn%2 == 1 {
		return
	}
	for _, s := range l.c.constraints {
		if s = own(s, l.c.first); strings.HasPrefix(s, "I ") && !known(l.said, s) {
			l.add(l.bank("limit"))
			l.add(s)
			return
		}
	}
}

// aim says what the partner wants.
func (l *line) aim() {
	if l.c.goal == "" || known(l.said, l.c.goal) {
		return
	}
	g := strings.TrimRight(l.c.goal, ".!")
	g = own(g, l.c.first)
	if !strings.HasPrefix(g, "I ") {
		g = strings.ToLower(g[:1]) + g[1:]
	}
	l.add(l.bank("open") + " " + g)
}

// ask goes on with a question, near the end with one for a summary.
func (l *line) ask() {
	if l.turn >= closingTurn {
		l.add(l.bank("end"))
		return
	}
	l.add(l.bank("ask"))
}

// String joins the parts that fit the level. The second one carries the
// answer: where there is room for little, the reaction before it goes.
func (l *line) String() string {
	if len(l.parts) > 1 && len(strings.Fields(l.parts[0]))+len(strings.Fields(l.parts[1])) > l.c.maxWords+2 {
		l.parts = l.parts[1:]
	}
	n := 0
	var kept []string
	for i, p := range l.parts {
		w := len(strings.Fields(p))
		if i > 0 && (n+w > l.c.maxWords || len(kept) >= 4) {
			break
		}
		n += w
		kept = append(kept, p)
	}
	return strings.Join(kept, " ")
}

// plainText takes a learner's words out of the marks that a prompt puts
// around data.
func plainText(s string) string {
	if o := objects(s); len(o) == 1 && strings.HasPrefix(strings.TrimSpace(s), "{") {
		if t := (data{roots: o}).str("text", "message", "learner", "content", "line"); t != "" {
			return t
		}
	}
	return strings.TrimSpace(tagLike.ReplaceAllString(s, " "))
}

// keepDays writes names of days with a capital again.
func keepDays(s string) string {
	for _, d := range [...]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"} {
		s = strings.ReplaceAll(s, d, capital(d))
	}
	return s
}
