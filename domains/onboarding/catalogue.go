package onboarding

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

//go:embed reference/*.json
var referenceFiles embed.FS

// Language is a native language by its BCP 47 tag (with _ for -), in its own
// words and in English.
type Language struct {
	Slug, Name, English string
}

// Industry is a field of work.
type Industry struct {
	Slug, Name, Description string
}

// Role is a job that many people have.
type Role struct {
	Slug, Title, Industry string
	// Hierarchy is associate, supervisor, manager or director.
	Hierarchy   string
	Keywords    []string
	Description string
}

// Partner is a kind of people one talks to at work.
type Partner struct {
	Slug, Name, Description string
}

// Situation is an occasion to talk.
type Situation struct {
	Slug, Name, Description string
}

// Level is a CEFR level with what one can do there.
type Level struct {
	Slug, Name, Description string
	CanDo                   []string `json:"can_do"`
}

// Catalogue is the reference data, read-only after loading.
type Catalogue struct {
	Languages  []Language
	Industries []Industry
	Roles      []Role
	Partners   []Partner
	Situations []Situation
	Levels     []Level
}

// Reference is the catalogue of this binary. It panics when the embedded files
// are damaged, which the first test would show.
var Reference = sync.OnceValue(func() *Catalogue {
	c := &Catalogue{}
	for name, into := range map[string]any{
		"languages": &c.Languages, "industries": &c.Industries, "roles": &c.Roles,
		"partners": &c.Partners, "situations": &c.Situations, "levels": &c.Levels,
	} {
		raw, err := referenceFiles.ReadFile("reference/" + name + ".json")
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if err != nil {
			panic(fmt.Sprintf("reference data %s: %v", name, err))
		}
	}
	return c
})

// slug is how a name is compared: both - and _ are taken, in any case.
func slug(s string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(s)), "-", "_")
}

func find[T any](list []T, s string, name func(*T) string) (T, bool) {
	s = slug(s)
	for i := range list {
		if strings.EqualFold(name(&list[i]), s) {
			return list[i], true
		}
	}
	var none T
	return none, false
}

// Language finds a language by its tag.
func (c *Catalogue) Language(s string) (Language, bool) {
	return find(c.Languages, s, func(v *Language) string { return v.Slug })
}

// Industry finds an industry.
func (c *Catalogue) Industry(s string) (Industry, bool) {
	return find(c.Industries, s, func(v *Industry) string { return v.Slug })
}

// Role finds a role.
func (c *Catalogue) Role(s string) (Role, bool) {
	return find(c.Roles, s, func(v *Role) string { return v.Slug })
}

// Partner finds a communication partner.
func (c *Catalogue) Partner(s string) (Partner, bool) {
	return find(c.Partners, s, func(v *Partner) string { return v.Slug })
}

// Situation finds a situation.
func (c *Catalogue) Situation(s string) (Situation, bool) {
	return find(c.Situations, s, func(v *Situation) string { return v.Slug })
}

// Level finds a level.
func (c *Catalogue) Level(s string) (Level, bool) {
	return find(c.Levels, s, func(v *Level) string { return v.Slug })
}

// RolesOf are the roles of an industry; an industry in the learner's own words
// ("") may mean any of them.
func (c *Catalogue) RolesOf(industry string) []Role {
	if industry == "" {
		return c.Roles
	}
	var out []Role
	for _, r := range c.Roles {
		if r.Industry == industry {
			out = append(out, r)
		}
	}
	return out
}

// Option is one thing to choose; which fields are set depends on the kind.
type Option struct {
	Slug        string   `json:"slug"`
	Name        string   `json:"name"`
	English     string   `json:"english,omitempty" doc:"A language's name in English"`
	Description string   `json:"description,omitempty"`
	Industry    string   `json:"industry,omitempty" doc:"The industry of a role"`
	Hierarchy   string   `json:"hierarchy,omitempty" doc:"Of a role: associate, supervisor, manager or director"`
	CanDo       []string `json:"can_do,omitempty" doc:"What one can do at a level"`
}

func options[T any](list []T, f func(T) Option) []Option {
	out := make([]Option, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

func (c *Catalogue) languageOptions() []Option {
	return options(c.Languages, func(v Language) Option { return Option{Slug: v.Slug, Name: v.Name, English: v.English} })
}

func (c *Catalogue) industryOptions() []Option {
	return options(c.Industries, func(v Industry) Option { return Option{Slug: v.Slug, Name: v.Name, Description: v.Description} })
}

func (c *Catalogue) roleOptions(industry string) []Option {
	return options(c.RolesOf(industry), func(v Role) Option {
		return Option{Slug: v.Slug, Name: v.Title, Description: v.Description, Industry: v.Industry, Hierarchy: v.Hierarchy}
	})
}

func (c *Catalogue) partnerOptions() []Option {
	return options(c.Partners, func(v Partner) Option { return Option{Slug: v.Slug, Name: v.Name, Description: v.Description} })
}

func (c *Catalogue) situationOptions() []Option {
	return options(c.Situations, func(v Situation) Option { return Option{Slug: v.Slug, Name: v.Name, Description: v.Description} })
}

func (c *Catalogue) levelOptions() []Option {
	return options(c.Levels, func(v Level) Option {
		return Option{Slug: v.Slug, Name: v.Name, Description: v.Description, CanDo: v.CanDo}
	})
}
