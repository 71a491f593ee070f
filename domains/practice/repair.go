package practice

import (
	"errors"
	"strings"

	"github.com/fluentpro/fluentpro/domains/practice/prompts"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// repairText bounds how much of an unusable answer is shown to the model again.
const repairText = 16 << 10

// RepairMessages follow the messages of a prompt whose answer could not be
// used: the answer, and what was wrong with it. why is the error of
// FinishScenario; the rules that it lists name places, never words of a learner.
func RepairMessages(text string, why error) []Message {
	rules := "it cannot be read"
	var f *fault.Error
	if errors.As(why, &f) && f.Code == fault.UpstreamInvalid && f.Err != nil {
		rules = f.Err.Error()
	}
	if len(text) > repairText {
		text = strings.ToValidUTF8(text[:repairText], "")
	}
	if strings.TrimSpace(text) == "" {
		text = "{}"
	}
	return []Message{{"assistant", text}, {"user", strings.ReplaceAll(strings.TrimSpace(prompts.Repair), "{{rules}}", rules)}}
}
