package onboarding

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// OpenQuestion is what an interview about partners and situations asks next. It is
// a view of the profile: the state of an interview is nowhere else, so no
// client can change or lose it.
type OpenQuestion struct {
	// Key names the question; it changes when the question is answered. "" when
	// nothing is left to ask.
	Key string
	// Partner is the name of whom the question is about, "" for the partners.
	Partner string
	// Options are the names to choose from, in the order of their numbers.
	Options []string
}

// keyPartners is the key of the first question.
const keyPartners = "partners"

// Question is the learner's open question. It fails with step_out_of_order
// while an earlier step is open.
func (s *Service) Question(ctx context.Context, learner LearnerID) (OpenQuestion, error) {
	p, err := s.repo.Get(ctx, learner)
	if err != nil {
		return OpenQuestion{}, err
	}
	if err := p.reachable(StepPartners); err != nil {
		return OpenQuestion{}, err
	}
	return p.question(), nil
}

func (p *Profile) question() OpenQuestion {
	if !p.Done(StepPartners) {
		return OpenQuestion{Key: keyPartners, Options: names(Reference().partnerOptions())}
	}
	for _, pv := range p.View().Partners {
		if len(pv.Situations) == 0 {
			return OpenQuestion{Key: "situations:" + pv.Slug, Partner: pv.Name, Options: names(Reference().situationOptions())}
		}
	}
	return OpenQuestion{}
}

func names(list []Option) []string {
	out := make([]string, len(list))
	for i, o := range list {
		out[i] = o.Name
	}
	return out
}

// AnswerQuestion takes what a learner said as the answer to the question of a
// key and tells the next one. Names from the list, or their numbers, are
// choices; a text without any is the learner's own words, in whatever language,
// so an answer is never stuck. A key that is not open any more changes nothing:
// that answer was taken before.
func (s *Service) AnswerQuestion(ctx context.Context, learner LearnerID, key, said string) (OpenQuestion, error) {
	var next OpenQuestion
	err := s.repo.Update(ctx, learner, func(p *Profile) error {
		if err := p.reachable(StepPartners); err != nil {
			return err
		}
		q := p.question()
		if q.Key != "" && q.Key == key {
			if err := p.Answer(q.answer(said)); err != nil {
				return err
			}
		}
		next = p.question()
		return nil
	})
	return next, err
}

func (q *OpenQuestion) answer(said string) Answer {
	if q.Key == keyPartners {
		a := PartnersAnswer{}
		for _, c := range heard(said, Reference().partnerOptions(), maxCustomPartners) {
			a.Partners = append(a.Partners, PartnerChoice{c.Slug, c.Custom})
		}
		return a
	}
	a := partnerSituations{Partner: strings.TrimPrefix(q.Key, "situations:")}
	for _, c := range heard(said, Reference().situationOptions(), maxCustomSituations) {
		a.Situations = append(a.Situations, SituationChoice{c.Slug, c.Custom})
	}
	return a
}

var (
	onlyNumbers = regexp.MustCompile(`^[\s\d,.;&、，and+]+$`)
	number      = regexp.MustCompile(`\d+`)
	separators  = regexp.MustCompile(`[,;/\n、，；]+|\s+and\s+`)
)

// heard finds what of a list was said, in the order it was said; else the text
// in parts, as own words.
func heard(said string, list []Option, mostOwn int) []Choice {
	var out []Choice
	if onlyNumbers.MatchString(said) {
		for _, s := range number.FindAllString(said, -1) {
			if n, err := strconv.Atoi(s); err == nil && n >= 1 && n <= len(list) {
				out = appendNew(out, Choice{Slug: list[n-1].Slug})
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	text := " " + strings.Join(words(said), " ") + " "
	type found struct {
		at   int
		slug string
	}
	var hits []found
	for _, o := range list {
		name := strings.Join(words(o.Name), " ")
		at := strings.Index(text, " "+name+" ")
		if at < 0 { // one client is a client too
			at = strings.Index(text, " "+strings.TrimSuffix(name, "s")+" ")
		}
		if at >= 0 {
			hits = append(hits, found{at, o.Slug})
		}
	}
	slices.SortStableFunc(hits, func(a, b found) int { return a.at - b.at })
	for _, h := range hits {
		out = appendNew(out, Choice{Slug: h.slug})
	}
	if len(out) > 0 {
		return out
	}
	for _, part := range separators.Split(said, -1) {
		part = strings.Trim(strings.Join(strings.Fields(part), " "), ".!?。！？ ")
		if utf8.RuneCountInString(part) < minCustom || len(out) == mostOwn {
			continue
		}
		if r := []rune(part); len(r) > maxCustom {
			part = string(r[:maxCustom])
		}
		out = appendNew(out, Choice{Custom: part})
	}
	return out
}

// appendNew adds what is not there yet.
func appendNew(list []Choice, c Choice) []Choice {
	for _, o := range list {
		if sameKey(o.Key(), c.Key()) {
			return list
		}
	}
	return append(list, c)
}
