package v1

import (
	"context"
	"net/http"
	"slices"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// tokens are the fields of every answer that hands some out.
func tokens(t authentication.Tokens) object {
	return object{"access_token": t.AccessToken, "refresh_token": t.RefreshToken, "token_type": t.TokenType, "expires_in": t.ExpiresIn}
}

func signedIn(in authentication.SignedIn) object {
	out := tokens(in.Tokens)
	out["user"] = object{"id": in.Learner.ID, "full_name": in.Learner.FullName, "email": in.Learner.Email, "date_of_birth": birth(in.Learner)}
	return out
}

// birth is nil for learners who signed up by v2, which does not ask.
func birth(l authentication.LearnerView) any {
	if l.DateOfBirth == "" {
		return nil
	}
	return l.DateOfBirth
}

func (a *API) signUp(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[struct {
		FullName    string `json:"full_name"`
		Email       string `json:"email"`
		Password    string `json:"password"`
		DateOfBirth string `json:"date_of_birth"`
		// Later forms of the app had these two.
		ConfirmPassword *string `json:"confirm_password"`
		AcceptTerms     *bool   `json:"accept_terms"`
	}](r)
	if err != nil {
		return Answer{}, err
	}
	if in.ConfirmPassword != nil && *in.ConfirmPassword != in.Password {
		return Answer{}, invalid("confirm_password", "differs", "The two passwords differ.")
	}
	got, err := a.auth.SignUp(ctx, authentication.SignUpInput{
		Email: in.Email, Password: in.Password, FullName: in.FullName, DateOfBirth: in.DateOfBirth,
		AcceptTerms: in.AcceptTerms != nil && *in.AcceptTerms, TermsNotAsked: in.AcceptTerms == nil,
		RemoteIP: r.RemoteIP,
	})
	if err != nil {
		return Answer{}, birthNeeded(err)
	}
	if got.Pending {
		// The app expects tokens. A server that confirms sign-ups by mail has
		// none yet, for anybody; the app can only say what the message says.
		return Answer{Status: http.StatusAccepted, Body: object{"message": "We sent you a mail. Confirm your e-mail, then sign in."}}, nil
	}
	return Answer{Status: http.StatusCreated, Body: signedIn(got)}, nil
}

// birthNeeded asks for the date of birth where the use case asks for the age:
// nothing else shows it here.
func birthNeeded(err error) error {
	out := *fault.Of(err)
	out.Fields = slices.Clone(out.Fields)
	for n, f := range out.Fields {
		if f.Name == "age_confirmed" {
			out.Fields[n] = fault.Field{Name: "date_of_birth", Code: "required", Message: "A date of birth is needed, as YYYY-MM-DD."}
		}
	}
	if len(out.Fields) == 0 {
		return err
	}
	return &out
}

// login tells an unknown e-mail and a wrong password alike. The old 404 is for
// somebody with the right password of another issuer's account who never signed
// up here.
func (a *API) login(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	}](r)
	switch {
	case err != nil:
		return Answer{}, err
	case in.Email == "":
		return Answer{}, required("email")
	case in.Password == "":
		return Answer{}, required("password")
	}
	got, err := a.auth.Login(ctx, authentication.LoginInput{Email: in.Email, Password: in.Password, RemoteIP: r.RemoteIP, KnownOnly: true})
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: signedIn(got)}, nil
}

type refreshTokenIn struct {
	RefreshToken string `json:"refresh_token"`
}

func (a *API) refresh(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[refreshTokenIn](r)
	if err != nil {
		return Answer{}, err
	}
	if in.RefreshToken == "" {
		return Answer{}, required("refresh_token")
	}
	got, err := a.auth.Refresh(ctx, in.RefreshToken)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: tokens(got.Tokens)}, nil
}

// logout ends the login of the access token, and that of the refresh token.
// The app sends no body, and the old backend always failed on that.
func (a *API) logout(ctx context.Context, r *Request) (Answer, error) {
	in, err := read[refreshTokenIn](r)
	if err != nil {
		return Answer{}, err
	}
	id, err := a.auth.Verify(ctx, r.AccessToken)
	if err != nil {
		return Answer{}, err
	}
	if err := a.auth.Logout(ctx, authentication.LogoutInput{RefreshToken: in.RefreshToken, Family: id.SessionFamily, Learner: id.LearnerID}); err != nil {
		return Answer{}, err
	}
	return Answer{Body: object{"message": "Logged out."}}, nil
}

// callback was where a browser came back to from the issuer's page. No flow of
// the app leads there: it signs in with e-mail and password. It hands nothing
// out, whatever code it is given, and says so.
func (a *API) callback(_ context.Context, r *Request) (Answer, error) {
	_, err := read[struct {
		Code  string `json:"code"`
		State string `json:"state"`
	}](r)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: object{"message": "Received. Nothing was signed in by it: use /auth/login/."}}, nil
}
