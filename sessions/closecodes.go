package sessions

// CloseCode is a WebSocket close code that stands for no failure of
// fault.Codes.
type CloseCode struct {
	Code int
	// Retry tells a client what helps, in the words of fault.Spec.
	Retry   string
	Meaning string
}

// CloseCodes are the codes that a server gives beside those of fault.Codes.
var CloseCodes = []CloseCode{
	{1002, "fix", "A frame breaks RFC 6455: not masked, a reserved bit or opcode, a control frame that is too long or in fragments"},
	{1003, "fix", "Binary frames are not spoken here"},
	{1007, "fix", "A frame is not UTF-8"},
	{1008, "fix", "Too many fragments or pings for one message, or a message that was not finished within 10 s"},
	{closeBadFrames, "fix", "Too many frames in a row that cannot be used"},
}
