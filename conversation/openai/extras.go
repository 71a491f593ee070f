package openai

import (
	"context"
	"encoding/json"
	"slices"

	goopenai "github.com/sashabaranov/go-openai"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/upstream"
)

// maxEmbed bounds the texts of one call: servers refuse more than a few
// thousand, and an answer must stay under the cap of a body.
const maxEmbed = 64

// Embed returns a vector for each text, in order, over the same transport with
// its clocks and errors. Not every upstream has embeddings.
func (c *Client) Embed(ctx context.Context, model string, texts []string) ([][]float32, error) {
	out := make([][]float32, 0, len(texts))
	for part := range slices.Chunk(texts, maxEmbed) {
		call := &upstream.Call{Set: map[string]json.RawMessage{"model": quoted(model)}}
		res, err := c.api.CreateEmbeddings(upstream.WithCall(withModel(ctx, model), call), goopenai.EmbeddingRequestStrings{
			Input: part, Model: "embedding", EncodingFormat: goopenai.EmbeddingEncodingFormatFloat})
		if err != nil {
			return nil, asFault(ctx, err)
		}
		vectors := make([][]float32, len(part))
		for _, d := range res.Data {
			if d.Index < 0 || d.Index >= len(part) || vectors[d.Index] != nil || len(d.Embedding) == 0 {
				return nil, errVectors
			}
			vectors[d.Index] = d.Embedding
		}
		for _, v := range vectors {
			if v == nil || len(out) > 0 && len(v) != len(out[0]) {
				return nil, errVectors
			}
			out = append(out, v)
		}
	}
	return out, nil
}

var errVectors = upstream.Fault(fault.UpstreamInvalid, &upstream.Error{Kind: "vectors", RetryAfter: -1})

// Moderate says whether a text was flagged, and as what.
func (c *Client) Moderate(ctx context.Context, model, text string) (flagged bool, categories []string, err error) {
	call := &upstream.Call{Set: map[string]json.RawMessage{"model": quoted(model)}}
	// go-openai knows some names of models only; ours goes in beside it.
	res, err := c.api.Moderations(upstream.WithCall(withModel(ctx, model), call), goopenai.ModerationRequest{Input: text})
	if err != nil {
		return false, nil, asFault(ctx, err)
	}
	if len(res.Results) == 0 {
		return false, nil, upstream.Fault(fault.UpstreamInvalid, &upstream.Error{Kind: "no_result", RetryAfter: -1})
	}
	for _, r := range res.Results {
		flagged = flagged || r.Flagged
		b, err := json.Marshal(r.Categories)
		if err != nil {
			continue
		}
		var named map[string]bool
		if json.Unmarshal(b, &named) == nil {
			for name, is := range named {
				if is && !slices.Contains(categories, name) {
					categories = append(categories, name)
				}
			}
		}
	}
	slices.Sort(categories)
	return flagged, categories, nil
}
