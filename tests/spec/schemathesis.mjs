// Runs schemathesis, whose commands are in the folder of the first argument, against the demo: what the document says,
// the service does.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { startDemo } from '../tools/demo.mjs';

const TIME_LIMIT_MS = 150_000;

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const [folder] = process.argv.slice(2);
if (!folder) throw new Error('usage: schemathesis.mjs FOLDER');

const demo = await startDemo();
// It keeps notes where it stands; a run knows nothing of the one before.
const cwd = await mkdtemp(join(tmpdir(), 'scrm-gateway-schemathesis-'));
try {
  const run = spawn(`${folder}/st`, ['--config-file', here('schemathesis.toml'), 'run', here('../../openapi/openapi.json')], {
    cwd,
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: TIME_LIMIT_MS,
    env: {
      ...process.env,
      SCRM_GATEWAY_URL: new URL(demo.docs).origin,
      SCRM_GATEWAY_TOKEN: demo.token,
      SCRM_GATEWAY_CUSTOMER: demo.customerId,
    },
  });
  process.once('exit', () => run.kill());
  const end = await new Promise((resolve, reject) => {
    run.once('error', reject);
    run.once('exit', (code, signal) => resolve(code ?? signal));
  });
  if (end !== 0) {
    process.exitCode = 1;
    if (end === 'SIGTERM') console.error(`schemathesis was ended after ${TIME_LIMIT_MS} ms`);
  }
} finally {
  await rm(cwd, { recursive: true, force: true });
  await demo.stop();
}
