// A client as a caller would write it, over nothing but the types made from the document. `tsc --strict` holds every
// use below against it.

import createClient from 'openapi-fetch';

import type { components, paths } from './build/schema.js';

export type Customer = components['schemas']['Customer'];
export type Problem = components['schemas']['Problem'];
export type StreamEnd = { end: { count: number; warnings: components['schemas']['Warning'][] } };

/** A refusal, with what the service says of it. */
export class Refused extends Error {
  constructor(
    readonly problem: Problem,
    readonly response: Response,
  ) {
    super(`${problem.code}: ${problem.detail}`);
  }
}

export function connect(baseUrl: string, token: string, fetch = globalThis.fetch) {
  // A list has two forms; where JSON is expected, the type of the other one would be in the way.
  type Json = 'application/json' | 'application/problem+json';
  const client = createClient<paths, Json>({ baseUrl, fetch, headers: { authorization: `Bearer ${token}` } });

  /** The success of a call, or its problem as an exception. */
  async function taken<T>(call: Promise<{ data?: T; error?: Problem; response: Response }>) {
    const { data, error, response } = await call;
    if (data === undefined) throw error ? new Refused(error, response) : new Error(`HTTP ${response.status}`);
    return { data, response };
  }

  return {
    async page(query: NonNullable<paths['/v1/customers']['get']['parameters']['query']>) {
      return (await taken(client.GET('/v1/customers', { params: { query } }))).data;
    },

    /** Every customer, page by page. */
    async *walk(source: string, limit: number): AsyncGenerator<Customer> {
      let cursor: string | undefined;
      do {
        const page = await this.page({ source, limit, ...(cursor && { cursor }) });
        yield* page.data;
        cursor = page.page.next_cursor ?? undefined;
      } while (cursor);
    },

    /** Every customer, as one stream; throws where it ends without its last line. */
    async *stream(source: string): AsyncGenerator<Customer, StreamEnd> {
      const { data } = await taken(
        client.GET('/v1/customers', {
          params: { query: { source } },
          headers: { accept: 'application/x-ndjson' },
          parseAs: 'stream',
        }),
      );
      let rest = '';
      for await (const text of data!.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const value: Customer | StreamEnd | { error: unknown } = JSON.parse(line);
          if ('end' in value) return value;
          if ('error' in value) throw new Error(line);
          yield value;
        }
      }
      throw new Error('the stream ended without its last line');
    },

    async customer(id: string, etag?: string) {
      const header = etag === undefined ? {} : { 'If-None-Match': etag };
      const call = client.GET('/v1/customers/{id}', { params: { path: { id }, header } });
      const { data, error, response } = await call;
      if (response.status === 304) return { data: undefined, response };
      if (error) throw new Refused(error, response);
      return { data, response };
    },

    async setRemarks(body: components['schemas']['RemarkBatch']) {
      return (await taken(client.POST('/v1/remarks', { body }))).data.data;
    },

    async addFollowUps(body: components['schemas']['FollowUpBatch'], key: string) {
      const params = { header: { 'Idempotency-Key': key } };
      return taken(client.POST('/v1/follow-ups', { params, body }));
    },

    sources: async () => (await taken(client.GET('/v1/sources'))).data.data,
    errors: async () => (await taken(client.GET('/v1/errors'))).data.data,
    me: async () => (await taken(client.GET('/v1/me'))).data.data,
  };
}

// What the document forbids does not compile.
export function forbidden(client: ReturnType<typeof connect>) {
  // @ts-expect-error a limit is a number
  void client.page({ source: 'juzibot', limit: '5' });
  // @ts-expect-error there is no such parameter
  void client.page({ colour: 'red' });
  // @ts-expect-error a remark is of somebody about somebody
  void client.setRemarks({ items: [{ remark: 'r' }] });
}
