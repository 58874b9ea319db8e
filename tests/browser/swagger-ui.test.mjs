// What a person does with the documentation, in a real browser: opens it, authorizes, asks for a customer, reads the answer.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { chromium } from 'playwright-core';

import { startDemo } from '../tools/demo.mjs';

const TIMEOUT_MS = 120_000;

/** A browser that has never run before and can reach this machine alone. */
async function openBrowser() {
  const profile = await mkdtemp(join(tmpdir(), 'scrm-gateway-browser-'));
  process.once('exit', () => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    viewport: { width: 1280, height: 900 },
    args: [
      '--no-sandbox', // CI and containers run as root.
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    ],
  });
  context.setDefaultTimeout(20_000);
  return context;
}

/** Notes all that a page asks for and complains about. */
function watch(context) {
  const seen = { requests: [], failures: [], complaints: [] };
  context.on('request', (request) => seen.requests.push(request.url()));
  context.on('requestfailed', (request) => seen.failures.push(`${request.url()}: ${request.failure()?.errorText}`));
  context.on('response', (response) => {
    if (response.status() >= 400) seen.failures.push(`${response.url()}: ${response.status()}`);
  });
  context.on('console', (message) => {
    if (message.type() === 'error') seen.complaints.push(message.text());
  });
  context.on('weberror', (error) => seen.complaints.push(String(error.error())));
  return seen;
}

/** Collects what the page's policy keeps from happening; `violations` gives it. */
async function watchPolicy(context) {
  await context.addInitScript(() => {
    window.policyViolations = [];
    document.addEventListener('securitypolicyviolation', (event) => {
      window.policyViolations.push(`${event.effectiveDirective}: ${event.blockedURI}`);
    });
  });
}

const violations = (page) => page.evaluate(() => window.policyViolations);

/** Requests that leave for another origin; `data:` and `blob:` stay within the page. */
function strangers(requests, origin) {
  return requests.filter((url) => !['data:', 'blob:'].includes(new URL(url).protocol) && new URL(url).origin !== origin);
}

test('a person authorizes in the Swagger UI and reads a customer', { timeout: TIMEOUT_MS }, async (t) => {
  const demo = await startDemo();
  let browser, page;
  t.after(async () => {
    try {
      // For a look at the page, and at what went wrong on it.
      if (process.env.SCREENSHOT) await page?.screenshot({ path: process.env.SCREENSHOT, fullPage: true });
    } finally {
      await Promise.allSettled([browser?.close()]);
      await demo.stop();
    }
  });
  browser = await openBrowser();
  const seen = watch(browser);
  await watchPolicy(browser);
  page = browser.pages()[0] ?? (await browser.newPage());
  const { origin } = new URL(demo.docs);

  await t.test('the page shows the operations in their groups, and the schemas', async () => {
    const answer = await page.goto(demo.docs.replace(/\/$/, ''));
    assert.equal(page.url(), demo.docs);
    // What follows works, and without a complaint, under this policy.
    const policy = answer.headers()['content-security-policy'];
    assert.match(policy, /^default-src 'none'; script-src 'self';/);
    assert.match(policy, /connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/);
    assert.equal(await page.title(), 'scrm-gateway');
    await page.getByRole('heading', { name: /^scrm-gateway/ }).waitFor();
    await page.locator('#operations-customers-getCustomer').waitFor();
    await page.locator('#operations-writes-setRemarks').waitFor();
    await page.locator('section.models').getByText('Customer', { exact: true }).waitFor();
    assert.deepEqual(await page.locator('.errors-wrapper').allInnerTexts(), []);
  });

  await t.test('the printed token is taken', async () => {
    await page.getByRole('button', { name: 'Authorize', exact: true }).click();
    const dialog = page.locator('.dialog-ux');
    await dialog.getByRole('textbox').fill(demo.token);
    await dialog.getByRole('button', { name: 'Apply credentials' }).click();
    await dialog.getByText('Authorized', { exact: true }).waitFor();
    await dialog.getByRole('button', { name: 'Close', exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
  });

  await t.test('the customer of the curl line is shown', async () => {
    const operation = page.locator('#operations-customers-getCustomer');
    await operation.locator('.opblock-summary-control').click();
    // It opens as if "Try it out" had been clicked; where the configuration no longer says so, that is a click.
    const closed = operation.getByRole('button', { name: 'Try it out' });
    const open = operation.getByRole('button', { name: 'Execute' });
    await closed.or(open).first().waitFor();
    if (await closed.isVisible()) await closed.click();
    // The document's example is the customer whom the demo knows: nothing has to be typed.
    assert.equal(await operation.locator('tr[data-param-name="id"] input').inputValue(), demo.customerId);
    await open.click();
    const answer = operation.locator('.live-responses-table .response');
    await answer.waitFor();
    assert.equal((await answer.locator('.response-col_status').innerText()).trim(), '200');
    const body = JSON.parse(await answer.locator('.response-col_description pre').first().innerText());
    assert.equal(body.data.external_user_id, demo.customerId);
    assert.ok(body.data.name);
    assert.deepEqual(body.meta.sources.map((source) => source.status), ['ok', 'ok']);
  });

  await t.test('a list and two batches need no typing either', async () => {
    for (const [id, status] of [['customers-listCustomers', '200'], ['writes-setRemarks', '200'], ['writes-addFollowUps', '200']]) {
      const operation = page.locator(`#operations-${id}`);
      await operation.locator('.opblock-summary-control').click();
      const closed = operation.getByRole('button', { name: 'Try it out' });
      const open = operation.getByRole('button', { name: 'Execute' });
      await closed.or(open).first().waitFor();
      if (await closed.isVisible()) await closed.click();
      await open.click();
      const answer = operation.locator('.live-responses-table .response');
      await answer.waitFor();
      assert.equal((await answer.locator('.response-col_status').innerText()).trim(), status, id);
    }
  });

  await t.test('nothing was asked of another origin, and nothing went wrong', async () => {
    assert.ok(seen.requests.includes(`${origin}/openapi.json`), 'the requests are recorded');
    assert.ok(seen.requests.includes(`${origin}/v1/customers/${demo.customerId}`));
    const files = seen.requests.filter((url) => url.startsWith(demo.docs) && url !== demo.docs);
    assert.ok(files.length >= 5, 'the page loads its files');
    for (const file of files) assert.match(file, /\.[\w-]{22}\.(css|js|png)$/, 'a hash is in each address');
    assert.deepEqual(strangers(seen.requests, origin), []);
    assert.deepEqual(seen.failures, []);
    assert.deepEqual(seen.complaints, []);
    assert.deepEqual(await violations(page), [], 'all of it went on within the policy');
  });

  await t.test('the policy is in force: markup on the page runs nothing and asks nobody', async () => {
    const ran = await page.evaluate(async () => {
      const add = (name, members) => document.body.append(Object.assign(document.createElement(name), members));
      add('script', { textContent: 'window.inlineRan = true' });
      add('script', { src: 'https://elsewhere.example/x.js' });
      add('img', { src: 'https://elsewhere.example/x.png' });
      add('iframe', { src: 'https://elsewhere.example/' });
      const asked = await fetch('https://elsewhere.example/').then(() => true, () => false);
      return { asked, inline: window.inlineRan === true };
    });
    assert.deepEqual(ran, { asked: false, inline: false });
    const expected = ['connect-src', 'frame-src', 'img-src', 'script-src-elem', 'script-src-elem'];
    await page.waitForFunction((count) => window.policyViolations.length >= count, expected.length);
    const kept = (await violations(page)).map((violation) => violation.split(':')[0]);
    assert.deepEqual(kept.sort(), expected);
  });
});

test('the printed curl line works when pasted', { timeout: TIMEOUT_MS }, async (t) => {
  const demo = await startDemo();
  t.after(() => demo.stop());
  const { stdout } = await promisify(execFile)('sh', ['-c', demo.curl], { timeout: 30_000 });
  assert.equal(JSON.parse(stdout).data.external_user_id, demo.customerId);
});
