package openai

import (
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

func TestEmbeddingsComeInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Model: "scripted"})
	texts := make([]string, maxEmbed+6) // more than one call takes
	for i := range texts {
		texts[i] = "text " + strconv.Itoa(i%70)
	}
	got, err := r.Embed(t.Context(), "embed", texts)
	if err != nil || len(got) != len(texts) || len(got[0]) == 0 {
		t.Fatalf("%d vectors, %v", len(got), err)
	}
	one, err := r.Embed(t.Context(), "embed", texts[3:4])
	if err != nil || !slices.Equal(one[0], got[3]) || slices.Equal(got[3], got[4]) {
		t.Fatalf("order is lost: %v", err)
	}
	if _, err := r.Embed(t.Context(), "fault-500", texts[:1]); fault.CodeOf(err) != fault.UpstreamUnavailable {
		t.Fatal(err)
	}
	if got, err := r.Embed(t.Context(), "embed", nil); err != nil || len(got) != 0 {
		t.Fatalf("%v %v", got, err)
	}
}

func TestEmbeddingsThatDoNotAddUpAreRefused(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"data":[]}`, `{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}`, `{"data":[{"index":7,"embedding":[1]}]}`,
		`{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}]}`, `<html>`,
	} {
		url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		r := newRig(t, Config{BaseURL: url, Model: "m"})
		if _, err := r.Embed(t.Context(), "e", []string{"a", "b"}); fault.CodeOf(err) != fault.UpstreamInvalid {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestModeration(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Model: "scripted"})
	flagged, why, err := r.Moderate(t.Context(), "omni-moderation-latest", "a "+fake.FlagWord)
	if err != nil || !flagged || !slices.Equal(why, []string{"harassment"}) {
		t.Fatalf("%v %v %v", flagged, why, err)
	}
	if flagged, why, err := r.Moderate(t.Context(), "any-other-model", "harmless"); err != nil || flagged || len(why) != 0 {
		t.Fatalf("%v %v %v", flagged, why, err)
	}
	if _, _, err := r.Moderate(t.Context(), "fault-500", "x"); fault.CodeOf(err) != fault.UpstreamUnavailable {
		t.Fatal(err)
	}
}
