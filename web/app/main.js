// Entry of the learner's page.
//
// Controls that a browser test drives carry data-testid:
//   sign-up and sign-in: email, password, full-name, accept-terms,
//     age-confirmed, sign-up, sign-in, go-sign-in, go-sign-up, sign-out,
//     go-forgot, forgot, forgot-sent, new-password, reset, reset-done, verified,
//     not-verified, sign-up-pending
//   account: go-account, account, verify-notice, verify-again, old-password,
//     new-password, change-password, password-changed, login,
//     sign-out-everywhere, export, erase-password, erase
//   onboarding: step-<name> (the open step), option-<slug> (one choice),
//     search, custom, add-custom, job-title, job-description, next, back, complete
//   home: new-scenario, choose-partner, choose-situation, scenario-link,
//     conversation-link
//   scenario: scenario-title, scenario-brief, scenario-objective (each),
//     start-conversation
//   chat: turn-learner, turn-partner (finished turns), pending (a message on
//     its way, data-status), open-reply (the reply being written), composer,
//     send, stop, retry, discard, new-messages
//   everywhere: connection-state (data-state, data-transport),
//     connection-banner, server-note
import { render } from '../vendor/preact.js';
import { App } from './app.js';
import { start } from './session.js';

render(App(), /** @type {Element} */ (document.getElementById('app')));
void start();
