package sessions

// DecodeAndAnswer is what a fuzz test reaches: a frame and the err frame that
// a bad one gets.
func DecodeAndAnswer(msg []byte) (id string, answer []byte, err error) {
	f, err := decodeFrame(msg)
	if err != nil {
		e, _ := wireOf(err)
		answer = errFrame(e, f.ID, f.C)
	}
	return f.ID, answer, err
}
