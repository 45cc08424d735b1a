// What went wrong, in words that a buyer may read. That nothing was charged is said only by who is sure of it.
import { PaydeskError } from "./paydesk-client.js";
import { outdated } from "./paydesk-element.js";

/** The code by which programs know an error. */
export const codeOf = (error) => error.decline_code ?? error.declineCode ?? error.code ?? "unknown";

/** What an error means to the buyer. `sure`: nothing was charged; `unsure`: nobody knows what became of an earlier try. */
export function wordsOf(element, error, { sure, unsure }) {
  return error instanceof PaydeskError ? refusal(element, error, unsure) : decline(element, error, sure);
}

/** What our own refusal, or that we could not be reached, means to the buyer. */
function refusal(element, error, unsure) {
  const code = codeOf(error);
  if (code === "already_subscribed") return element.say("form_subscribed");
  if (outdated(error)) return element.say("form_session");
  const known = element.config.reasons[code];
  if (known) return known;
  const away = error.status === 0 || error.status >= 500 || error.status === 429 || code === "idempotency_key_in_use";
  if (!away) return element.say("form_refused");
  return unsure ? element.say("form_unsure") : `${element.say("form_away")} ${element.say("form_safe_again")}`;
}

/** What became of a try, in words. Stripe's own are for buyers only where a card was declined. */
function decline(element, error, sure) {
  if (!sure) return element.say("form_unsure");
  const { reasons } = element.config;
  const known = reasons[codeOf(error)] ?? reasons[error.code] ?? (error.type === "card_error" ? error.message : null);
  return `${known || element.say("form_failed")} ${element.say("form_nothing_charged")}`;
}
