// The client that the document makes, against a running service: one call of each kind.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { startDemo } from '../tools/demo.mjs';
import { Refused, connect } from './build/client.js';

let demo, client;
before(async () => {
  demo = await startDemo();
  client = connect(new URL(demo.docs).origin, demo.token);
});
after(() => demo?.stop());

/** The refusal that a call must meet. */
async function refusal(call) {
  const error = await call.then(
    () => assert.fail('it was not refused'),
    (error) => error,
  );
  assert.ok(error instanceof Refused, error);
  assert.equal(error.problem.request_id, error.response.headers.get('x-request-id'));
  return error.problem;
}

test('a page of a list', async () => {
  const { data, page, meta } = await client.page({ source: 'juzibot', limit: 3 });
  assert.equal(data.length, 3);
  assert.ok(page.next_cursor);
  assert.ok(page.total > 3);
  assert.deepEqual(meta.sources.map(({ source, status }) => [source, status]), [['juzibot', 'ok']]);
});

test('a walk and a stream bring the same customers', async () => {
  const walked = [];
  for await (const customer of client.walk('juzibot', 400)) walked.push(customer.external_user_id);
  const streamed = [];
  const stream = client.stream('juzibot');
  let next = await stream.next();
  for (; !next.done; next = await stream.next()) streamed.push(next.value.external_user_id);
  assert.equal(next.value.end.count, streamed.length);
  assert.ok(streamed.length > 400);
  assert.deepEqual(streamed, walked);
});

test('a customer, and that it has not changed', async () => {
  const { data, response } = await client.customer(demo.customerId);
  assert.equal(data.data.external_user_id, demo.customerId);
  assert.deepEqual(data.data.records.map(({ source }) => source), ['juzibot', 'tanma']);
  const again = await client.customer(demo.customerId, response.headers.get('etag'));
  assert.equal(again.response.status, 304);
});

test('a customer whom nobody knows is a problem', async () => {
  const problem = await refusal(client.customer('wm_nobody'));
  assert.deepEqual([problem.status, problem.code, problem.retryable], [404, 'not_found', false]);
});

test('a bad parameter is named', async () => {
  const problem = await refusal(client.page({ source: 'juzibot', limit: 0 }));
  assert.deepEqual(problem.errors.map(({ parameter, code }) => [parameter, code]), [['limit', 'out_of_range']]);
});

test('remarks, each with its result', async () => {
  const { data } = (await client.customer(demo.customerId)).data;
  const { staff_id } = data.relations.find(({ source }) => source === 'juzibot');
  const { results, summary } = await client.setRemarks({
    items: [
      { staff_id, union_id: data.union_id, remark: 'by the client' },
      { staff_id, union_id: 'oz_nobody', remark: 'to nobody' },
    ],
  });
  assert.deepEqual(results.map(({ status }) => status), ['succeeded', 'failed']);
  assert.equal(results[1].problem.code, 'validation_failed');
  assert.deepEqual(summary, { succeeded: 1, failed: 1, not_sent: 0, unconfirmed: 0 });
});

test('a follow-up under a key is added once', async () => {
  const { data } = (await client.customer(demo.customerId)).data;
  const { staff_id } = data.relations.find(({ source }) => source === 'juzibot');
  const body = { items: [{ staff_id, union_id: data.union_id, content: 'called', occurred_at: '2026-11-22T13:00:00Z' }] };
  const key = randomUUID();
  const first = await client.addFollowUps(body, key);
  const second = await client.addFollowUps(body, key);
  assert.equal(first.data.data.summary.succeeded, 1);
  assert.deepEqual(second.data, first.data);
  const replayed = [first, second].map(({ response }) => response.headers.get('idempotent-replayed'));
  assert.deepEqual(replayed, [null, 'true']);
  const problem = await refusal(client.addFollowUps({ items: [{ ...body.items[0], content: 'another' }] }, key));
  assert.equal(problem.code, 'idempotency_key_reused');
});

test('sources, errors, and who calls', async () => {
  const sources = await client.sources();
  assert.deepEqual(sources.map(({ name }) => name), ['juzibot', 'tanma']);
  assert.equal(sources[0].operations.set_remarks.offered, true);
  const errors = await client.errors();
  assert.ok(errors.some(({ code, status }) => code === 'not_found' && status === 404));
  const me = await client.me();
  assert.deepEqual([me.subject, me.sources], ['demo', ['juzibot', 'tanma']]);
});
