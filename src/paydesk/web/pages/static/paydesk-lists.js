// Lists: one page to await, or all of them to walk through.

const PAGE = 100; // how many are read at once where all are walked through

/** What comes after a page: what is older than its last, or, where one walks towards the newest, newer than its first. */
const after = (name) => (page, query) =>
  query.ending_before ? { ending_before: page.data[0][name] } : { starting_after: page.data.at(-1)[name] };

const onward = after("id");

/** What follows a page of a list whose entries have a cursor besides their id. */
export const byCursor = after("cursor");

/** What follows a page of a list whose entries have no id, but a feature each. */
export const byFeature = after("feature");

/**
 * A list that is asked for when somebody wants it. Awaited, it is its first page, { data, has_more }. In `for await` it
 * is everything, a page at a time: the newest first, and with `ending_before` from that one towards the newest.
 */
export class Listing {
  #read;
  #query;
  #next;
  #first = null;

  /** `read` asks for a page by its query; `next` says what of the query changes after a page. */
  constructor(read, query = null, next = onward) {
    this.#read = read;
    this.#query = query ?? {};
    this.#next = next;
  }

  get [Symbol.toStringTag]() {
    return "Listing";
  }

  then(done, failed) {
    return (this.#first ??= this.#read(this.#query)).then(done, failed);
  }

  catch(failed) {
    return this.then(undefined, failed);
  }

  finally(ended) {
    return this.then().finally(ended);
  }

  /** The pages, each asked for when it is needed. */
  async *pages() {
    let query = { limit: PAGE, ...this.#query };
    for (;;) {
      const page = await this.#read(query);
      yield page;
      if (!page.has_more || page.data.length === 0) return;
      query = { ...query, ...this.#next(page, query) };
    }
  }

  async *[Symbol.asyncIterator]() {
    for await (const { data } of this.pages()) yield* this.#query.ending_before ? [...data].reverse() : data;
  }

  /** The first `max` of them as an array. */
  async toArray({ max } = {}) {
    if (!Number.isInteger(max) || max < 0) throw new TypeError("toArray({ max }): how many at most, a whole number");
    const found = [];
    if (max === 0) return found;
    for await (const one of this) if (found.push(one) >= max) break;
    return found;
  }
}
