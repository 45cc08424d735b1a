// The client of Paydesk's API, for browsers and for Node 20 and later. No dependencies.
// Types: paydesk-client.d.ts. Browsers use a publishable key with a buyer's token, servers a secret key.
import { calls } from "./paydesk-calls.js";
import { Http } from "./paydesk-http.js";

export { PaydeskError, STRIPE_API_VERSION, STRIPE_DEBUG, newKey } from "./paydesk-http.js";
export { Listing } from "./paydesk-lists.js";

export class Paydesk {
  #http;

  /** `url` is where Paydesk is; `key` a publishable or a secret key; `customer` a buyer's token, or a function for one. */
  constructor(options) {
    this.#http = new Http(options);
    Object.assign(this, calls((method, path, given) => this.request(method, path, given)));
  }

  /** Where Paydesk is, without a slash at its end. */
  get url() {
    return this.#http.url;
  }

  /** A call that has no method of its own. */
  request(method, path, options) {
    return this.#http.request(method, path, options);
  }
}

export default Paydesk;
