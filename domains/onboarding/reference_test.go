package onboarding

import (
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReferenceIsWhole(t *testing.T) {
	t.Parallel()
	c := Reference()
	for name, n := range map[string][3]int{
		"languages": {len(c.Languages), 40, 1000}, "industries": {len(c.Industries), 12, 100}, "roles": {len(c.Roles), 120, 10000},
		"partners": {len(c.Partners), 7, 7}, "situations": {len(c.Situations), 15, 15}, "levels": {len(c.Levels), 6, 6},
	} {
		if n[0] < n[1] || n[0] > n[2] {
			t.Errorf("%d %s, want %d to %d", n[0], name, n[1], n[2])
		}
	}
	simple := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	tag := regexp.MustCompile(`^[a-z]{2,3}(_[A-Z][a-z]{3})?(_[A-Z]{2})?$`)
	level := regexp.MustCompile(`^[ABC][12]$`)
	check := func(kind string, form *regexp.Regexp, n int, at func(int) (slug string, texts []string)) {
		seen := map[string]bool{}
		for i := range n {
			s, texts := at(i)
			if !form.MatchString(s) {
				t.Errorf("%s: bad slug %q", kind, s)
			}
			for _, key := range append([]string{s}, texts[0]) {
				if key = strings.ToLower(key); key == "" {
					t.Errorf("%s %s: no name", kind, s)
				}
			}
			if seen[strings.ToLower(s)] {
				t.Errorf("%s: %q stands twice", kind, s)
			}
			seen[strings.ToLower(s)] = true
			for _, x := range texts {
				if x == "" || strings.TrimSpace(x) != x {
					t.Errorf("%s %s: bad text %q", kind, s, x)
				}
			}
		}
	}
	check("language", tag, len(c.Languages), func(i int) (string, []string) {
		v := c.Languages[i]
		return v.Slug, []string{v.Name, v.English}
	})
	check("industry", simple, len(c.Industries), func(i int) (string, []string) {
		v := c.Industries[i]
		return v.Slug, []string{v.Name, v.Description}
	})
	check("role", simple, len(c.Roles), func(i int) (string, []string) {
		v := c.Roles[i]
		return v.Slug, append([]string{v.Title, v.Description, v.Hierarchy}, v.Keywords...)
	})
	check("partner", simple, len(c.Partners), func(i int) (string, []string) {
		v := c.Partners[i]
		return v.Slug, []string{v.Name, v.Description}
	})
	check("situation", simple, len(c.Situations), func(i int) (string, []string) {
		v := c.Situations[i]
		return v.Slug, []string{v.Name, v.Description}
	})
	check("level", level, len(c.Levels), func(i int) (string, []string) {
		v := c.Levels[i]
		if len(v.CanDo) < 3 {
			t.Errorf("level %s: %d can-do sentences", v.Slug, len(v.CanDo))
		}
		return v.Slug, append([]string{v.Name, v.Description}, v.CanDo...)
	})
}

func TestRolesReferToIndustries(t *testing.T) {
	t.Parallel()
	c := Reference()
	levels := map[string]map[string]int{}
	for _, r := range c.Roles {
		if _, ok := c.Industry(r.Industry); !ok {
			t.Errorf("role %s: unknown industry %q", r.Slug, r.Industry)
		}
		switch r.Hierarchy {
		case "associate", "supervisor", "manager", "director":
		default:
			t.Errorf("role %s: unknown hierarchy %q", r.Slug, r.Hierarchy)
		}
		if len(r.Keywords) < 3 {
			t.Errorf("role %s: %d keywords", r.Slug, len(r.Keywords))
		}
		if levels[r.Industry] == nil {
			levels[r.Industry] = map[string]int{}
		}
		levels[r.Industry][r.Hierarchy]++
	}
	for _, i := range c.Industries {
		if n := len(c.RolesOf(i.Slug)); n < 8 || len(levels[i.Slug]) != 4 {
			t.Errorf("industry %s: %d roles on %d of 4 levels", i.Slug, n, len(levels[i.Slug]))
		}
	}
}

func TestNamesInAnyForm(t *testing.T) {
	t.Parallel()
	c := Reference()
	for _, s := range []string{"zh_Hant", "zh-Hant", "ZH-HANT", " zh_hant "} {
		if l, ok := c.Language(s); !ok || l.Slug != "zh_Hant" || l.Name != "繁體中文" {
			t.Errorf("%q: got %+v %v", s, l, ok)
		}
	}
	if p, ok := c.Partner("senior-management"); !ok || p.Slug != "senior_management" {
		t.Errorf("got %+v %v", p, ok)
	}
	if l, ok := c.Level("b1"); !ok || l.Slug != "B1" {
		t.Errorf("got %+v %v", l, ok)
	}
	for _, s := range []string{"", " ", "klingon", "zh", "zh_Hant\x00"} {
		if l, ok := c.Language(s); ok {
			t.Errorf("%q: got %+v", s, l)
		}
	}
}
