// The client of openapi-typescript, over responses with values that are not known yet.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Refused, connect } from './build/client.js';
import { advice } from './build/open.js';

const { newValue, open, answers } = JSON.parse(readFileSync(new URL('build/answers.json', import.meta.url)));
const batch = { items: [{ staff_id: 'rocky', union_id: 'oz_nobody', remark: 'r', content: 'c' }] };

/** Each operation as the client calls it, and the part of the body that the call returns. */
const calls = {
  listCustomers: [(client) => client.page({ source: 'juzibot' }), (body) => body],
  getCustomer: [async (client) => (await client.customer('wm_nobody')).data, (body) => body],
  setRemarks: [(client) => client.setRemarks(batch), (body) => body.data],
  addFollowUps: [async (client) => (await client.addFollowUps(batch, 'example-key')).data, (body) => body],
  listSources: [(client) => client.sources(), (body) => body.data],
  listErrors: [(client) => client.errors(), (body) => body.data],
  getMe: [(client) => client.me(), (body) => body.data],
};

/** A client whose calls all get the same response. */
function answering({ status, mediaType, body }) {
  const fetch = async () => new Response(JSON.stringify(body), { status, headers: { 'content-type': mediaType } });
  return connect('http://gateway.test', 'token', fetch);
}

test('responses with new values pass through', async () => {
  assert.ok(open.length > 0 && answers.length > 0);
  for (const answer of answers) {
    const [call, part] = calls[answer.operationId];
    const result = call(answering(answer));
    if (answer.status < 400) {
      assert.deepEqual(await result, part(answer.body));
    } else {
      const error = await result.then(() => assert.fail('the call succeeded'), (error) => error);
      assert.ok(error instanceof Refused, error);
      assert.deepEqual(error.problem, answer.body);
      assert.equal(error.problem.code, newValue);
    }
  }
});

test('a switch over known values returns a new one unchanged', () => {
  assert.equal(advice('not_sent'), 'send it again');
  assert.equal(advice(newValue), newValue);
});
